"""The service beside other vector databases: the same rows, the same graph, the same questions, all cores
for everyone.

Each is filled while the others are idle, and then they take turns at being asked. Our own server and
Chroma's are asked by the leanest client that there is, which sends ready-made requests and leaves answers
unread but for recall; Chroma and milvus-lite also by the clients that they bring.
"""

import json
import statistics
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness.comparison import ratio, take_turns
from harness.peers import peer_python, peer_versions
from harness.service import Service, until_at_rest
from harness.side import Side, open_side, usable_cores
from harness.stage import target_of
from harness.vector_load import (
    Matrix,
    chroma_bodies,
    chroma_ids_of,
    ids_of,
    mean_recall,
    search_bodies,
    search_path,
)
from harness.vector_rows import KINDS, K, matching
from harness.vector_servers import open_chroma, open_milvus

OURS = "embedd"
CHROMA, CHROMA_CLIENT, MILVUS = "Chroma", "Chroma, its own client", "milvus-lite"
CLIENTS = (1, 8)


@dataclass(frozen=True, slots=True)
class Turns:
    """``rounds`` of turns, and ``seconds`` that everybody is asked in each of them for each figure."""

    rounds: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Data:
    """Rows (n, dim), questions (q, dim), and the load that sends ready-made requests."""

    vectors: Matrix
    questions: Matrix
    folder: Path
    load: Side


class Contender(Protocol):
    """A database that was filled."""

    async def answers(self, kind: str) -> list[list[str]]:
        """The ids that each question finds, best first."""

    async def ask(self, kind: str, clients: int, seconds: float) -> dict[str, Any]:
        """``requests`` answered in so many ``seconds``, and the percentiles of how long one took."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Asked over HTTP with ready-made bodies; ``ids`` finds the ids in an answer."""

    load: Side
    targets: Mapping[str, dict[str, Any]]
    ids: Callable[[dict[str, Any]], list[str]]
    questions: int

    async def answers(self, kind: str) -> list[list[str]]:
        read = await self.load.call("read", target=self.targets[kind], count=self.questions)
        return [self.ids(json.loads(body)) for body in read["bodies"]]

    async def ask(self, kind: str, clients: int, seconds: float) -> dict[str, Any]:
        found = await self.load.call("closed", target=self.targets[kind], clients=clients, seconds=seconds)
        assert set(found["statuses"]) == {"200"}, found["problems"]
        return found


@dataclass(frozen=True, slots=True)
class OwnClient:
    """Asked by the client that it brings, in a process with its own packages."""

    side: Side

    async def answers(self, kind: str) -> list[list[str]]:
        ids: list[list[str]] = (await self.side.call("answers", kind=kind))["ids"]
        return ids

    async def ask(self, kind: str, clients: int, seconds: float) -> dict[str, Any]:
        return await self.side.call("closed", kind=kind, clients=clients, seconds=seconds, first=0)


def posted(
    data: Data,
    name: str,
    address: tuple[int, str],
    *,
    bodies: Callable[[Matrix, str], list[dict[str, Any]]],
    ids: Callable[[dict[str, Any]], list[str]],
) -> Posted:
    """A server that is asked over HTTP, with a body for each question and kind."""
    targets = {
        kind: target_of(*address, data.folder / f"{name}-{number}.json", bodies(data.questions, kind))
        for number, kind in enumerate(KINDS)
    }
    return Posted(data.load, targets, ids, len(data.questions))


def embedd(data: Data, service: Service) -> Posted:
    """Our own service, whose collection is filled already."""
    return posted(data, "embedd", (service.port, search_path()), bodies=search_bodies, ids=ids_of)


@asynccontextmanager
async def open_peers(data: Data) -> AsyncIterator[tuple[dict[str, Contender], dict[str, Any]]]:
    """The peers that are installed, each filled, and how it was set up and how long that took."""
    contenders: dict[str, Contender] = {}
    facts: dict[str, Any] = {}
    files = {"vectors": data.folder / "vectors.npy", "questions": data.folder / "questions.npy"}
    for name, file in files.items():
        np.save(file, getattr(data, name))
    given = {name: str(file) for name, file in files.items()}
    async with AsyncExitStack() as stack:
        if python := peer_python("chroma"):
            server = await stack.enter_async_context(open_chroma(python, data.folder))
            own = await stack.enter_async_context(open_peer_side("chroma_client", python, server, given))
            facts[CHROMA] = await filled(own, server) | {"versions": peer_versions("chroma")}
            address = server.port, chroma_path(facts[CHROMA]["id"])
            contenders[CHROMA] = posted(data, "chroma", address, bodies=chroma_bodies, ids=chroma_ids_of)
            contenders[CHROMA_CLIENT], facts[CHROMA_CLIENT] = OwnClient(own), facts[CHROMA]
        if python := peer_python("milvus"):
            server = await stack.enter_async_context(open_milvus(python, data.folder))
            own = await stack.enter_async_context(open_peer_side("milvus_client", python, server, given))
            facts[MILVUS] = await filled(own, server) | {"versions": peer_versions("milvus")}
            contenders[MILVUS] = OwnClient(own)
        yield contenders, facts


def open_peer_side(module: str, python: Path, server: Service, given: Mapping[str, str]) -> Any:
    return open_side(module, cores=usable_cores(), python=python, port=server.port, **given)


def chroma_path(collection: str) -> str:
    return f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection}/query"


async def filled(own: Side, server: Service) -> dict[str, Any]:
    """Seconds until all rows were acknowledged, and until nothing is left to be done to them."""
    written = await own.call("insert")
    rest_s = await until_at_rest(server.pid)
    return written | {"ready_s": written["ready_s"] + rest_s} | await own.call("describe")


async def compare(contenders: Mapping[str, Contender], data: Data, turns: Turns) -> dict[str, Any]:
    """By contender and kind of search: recall, and for each number of clients searches a second and
    percentiles, medians of the rounds.
    """
    figures: dict[str, Any] = {name: {} for name in contenders}
    for kind in KINDS:
        expected = nearest(data.vectors, data.questions, matching(kind, len(data.vectors)))
        for name, one in contenders.items():
            found = await one.answers(kind)
            short = sum(len(ids) < len(rows) for ids, rows in zip(found, expected, strict=True))
            figures[name][kind] = {"recall": mean_recall(found, expected), "short_answers": short}
        for clients in CLIENTS:
            asked = {name: asking(one, kind, clients, turns.seconds) for name, one in contenders.items()}
            measured = await take_turns(asked, turns.rounds)
            for name, rounds in measured.items():
                figures[name][kind][f"{clients} clients"] = summary(rounds, measured[OURS])
    return figures


def asking(contender: Contender, kind: str, clients: int, seconds: float) -> Callable[[int], Any]:
    async def measure(_: int) -> dict[str, Any]:
        return await contender.ask(kind, clients, seconds)

    return measure


def summary(rounds: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Medians over the rounds, and our own rate to this one's."""
    rates, our_rates = ([each["requests"] / each["seconds"] for each in some] for some in (rounds, ours))
    percentiles = {
        name: statistics.median(each["answered"][name] for each in rounds) for name in ("p50_ms", "p99_ms")
    }
    return {"per_s": statistics.median(rates), "ours_to_this": ratio(our_rates, rates)} | percentiles


def nearest(vectors: Matrix, questions: Matrix, rows: Sequence[int]) -> list[list[int]]:
    """The ``K`` nearest among ``rows`` of each question, exactly."""
    candidates = np.asarray(rows)
    chosen = vectors[candidates]
    return [
        candidates[np.argsort(-(chosen @ question), kind="stable")[:K]].tolist() for question in questions
    ]
