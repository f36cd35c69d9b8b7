"""A running service, the loads that ask it and the engine it is compared with, each on the cores it may use.

The worker has a core of its own, in the service as in the engine alone; the service and its clients share
the other: what the service costs then shows, and not who was given how many cores.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from harness.model import Model
from harness.service import MODEL, Service, move, open_service
from harness.side import Side, open_side, usable_cores
from harness.sides.load import STAMP

EMBEDDINGS = "/v1/embeddings"
WORKER = "embedd.worker"
SETTINGS = {"cache_bytes": "0", "log_level": "warning"}
"""No vector is answered from a cache: what is measured is the way through the model."""


@dataclass(frozen=True, slots=True)
class Texts:
    """``mixed``: paragraphs of all lengths, for throughput; ``queries``: questions of 16 tokens each."""

    mixed: Sequence[str]
    queries: Sequence[str]

    def write(self, folder: Path) -> Path:
        """The file that sides read them from."""
        file = folder / "texts.json"
        file.write_text(json.dumps([*self.mixed, *self.queries]), encoding="utf-8")
        return file


@dataclass(frozen=True, slots=True)
class Stage:
    """``clients`` and ``others`` are loads that can run at once; ``engine`` has the mixed texts first."""

    service: Service
    engine: Side
    clients: Side
    others: Side
    texts: Texts
    folder: Path

    def target(self, name: str, bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What a load is told to send; ``name`` stands for always the same bodies."""
        return target_of(self.service.port, EMBEDDINGS, self.folder / f"{name}.json", bodies)

    async def spared(self) -> dict[str, float]:
        """How many texts were answered without a run of their own so far, by the service's own count."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.service.url}/metrics") as response:
            exposed = await response.text()
        return {name: counter(exposed, f"embedd_{name}_total") for name in ("cache_hits", "coalesced")}


def counter(exposed: str, name: str) -> float:
    """The sum of a counter over its labels, in Prometheus' text form."""
    lines = [line for line in exposed.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def target_of(port: int, path: str, file: Path, bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Writes the bodies, unless they have been written, and says where they go."""
    if not file.exists():
        file.write_text(json.dumps(bodies, ensure_ascii=False), encoding="utf-8")
    return {"port": port, "path": path, "bodies": str(file)}


def embeddings_of(texts: Sequence[str]) -> dict[str, Any]:
    """The body of one request."""
    return {"model": MODEL, "input": list(texts), "encoding_format": "base64"}


def one_by_one(texts: Sequence[str]) -> list[dict[str, Any]]:
    """A request for each text."""
    return [embeddings_of([text]) for text in texts]


def together(texts: Sequence[str], count: int) -> list[dict[str, Any]]:
    """Requests of ``count`` texts, stamped; what is left over is left out."""
    stamped = [f"{STAMP.decode()} {text}" for text in texts]
    starts = range(0, len(stamped) - count + 1, count)
    return [embeddings_of(stamped[start : start + count]) for start in starts]


@asynccontextmanager
async def open_stage(texts: Texts, model: Model, folder: Path) -> AsyncIterator[Stage]:
    """Starts all of it; see the module."""
    cores = usable_cores()
    front, back = cores[:1], cores[-1:]
    file = texts.write(folder)
    engine = open_side("engine", cores=back, folder=str(model.folder), texts=str(file), dtype="auto")
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(settings=SETTINGS, cores=front))
        for worker in service.processes(WORKER):
            move(worker, back)
        yield Stage(
            service,
            engine=await stack.enter_async_context(engine),
            clients=await stack.enter_async_context(open_side("load", cores=front)),
            others=await stack.enter_async_context(open_side("load", cores=front)),
            texts=texts,
            folder=folder,
        )
