"""The service beside other embedding servers: the same model, the same requests, all cores for everyone.

Each server is loaded and then idle while another is asked.
"""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import infinity
from harness.comparison import cosines, ratio, take_turns
from harness.model import Model
from harness.peers import peer_python
from harness.scenarios import CLIENTS, REQUEST_TEXTS, Effort, only_answers
from harness.service import open_service
from harness.side import Side, open_side, usable_cores
from harness.stage import EMBEDDINGS, SETTINGS, Texts, embeddings_of, one_by_one, target_of

OURS = "embedd"
LARGE_CLIENTS = 4
COMPARED_TEXTS = 64


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is asked for embeddings."""

    port: int
    path: str


async def beside_peers(texts: Texts, model: Model, effort: Effort, folder: Path) -> dict[str, Any]:
    """Rates with many small and with few large requests, a single query's latency, and what vectors come."""
    async with AsyncExitStack() as stack:
        servers = {
            OURS: Server((await stack.enter_async_context(open_service(settings=SETTINGS))).port, EMBEDDINGS)
        }
        if python := peer_python("infinity"):
            for way in infinity.WAYS:
                server = infinity.open_infinity(python, way, model.folder, folder)
                servers[way] = Server((await stack.enter_async_context(server)).port, infinity.PATH)
        load = await stack.enter_async_context(open_side("load", cores=usable_cores()))
        rates = await compare(load, servers, bodies_of(texts, effort), effort, folder)
        nearness = await compare_vectors(load, servers, texts, model, folder)
    return {name: rates[name] | {"cosine": nearness[name]} for name in servers}


def bodies_of(texts: Texts, effort: Effort) -> dict[str, list[dict[str, Any]]]:
    """By kind of request; texts that no round has had before, cut into large requests or into small ones."""
    mixed = texts.mixed[: effort.rounds * effort.peers]
    starts = range(0, len(mixed) - REQUEST_TEXTS + 1, REQUEST_TEXTS)
    return {
        "small": one_by_one(mixed),
        "large": [embeddings_of(mixed[start : start + REQUEST_TEXTS]) for start in starts],
        "query": one_by_one(texts.queries),
    }


async def compare(
    load: Side,
    servers: Mapping[str, Server],
    bodies: Mapping[str, Sequence[dict[str, Any]]],
    effort: Effort,
    folder: Path,
) -> dict[str, dict[str, Any]]:
    """By server: texts per second with 32 clients of one text and 4 of 32 texts, one client's latency."""
    counts = {
        "small": effort.peers,
        "large": effort.peers // REQUEST_TEXTS,
        "query": min(effort.queries, len(bodies["query"]) // effort.rounds),
    }
    clients = {"small": CLIENTS, "large": LARGE_CLIENTS, "query": 1}

    def ask(server: Server, kind: str) -> Any:
        target = target_of(server.port, server.path, folder / f"peers-{kind}.json", bodies[kind])

        async def measure(number: int) -> dict[str, Any]:
            found = await load.call(
                "closed",
                target=target,
                clients=clients[kind],
                first=number * counts[kind],
                requests=counts[kind],
            )
            return found | {"rate": only_answers(found, counts[kind]) / found["seconds"]}

        return measure

    measured = {
        kind: await take_turns({name: ask(server, kind) for name, server in servers.items()}, effort.rounds)
        for kind in counts
    }
    return {name: row_of(measured, name) for name in servers}


def row_of(measured: Mapping[str, Mapping[str, Sequence[dict[str, Any]]]], name: str) -> dict[str, Any]:
    """Medians over the rounds, and our own rate to this one's."""
    rates = {
        kind: {server: [each["rate"] for each in rounds] for server, rounds in measured[kind].items()}
        for kind in ("small", "large")
    }
    latencies = [each["answered"] for each in measured["query"][name]]
    return {
        "small_texts_per_s": statistics.median(rates["small"][name]),
        "large_texts_per_s": statistics.median(rates["large"][name]),
        "ours_to_this_small": ratio(rates["small"][OURS], rates["small"][name]),
        "ours_to_this_large": ratio(rates["large"][OURS], rates["large"][name]),
        "query": {part: statistics.median(each[part] for each in latencies) for part in latencies[0]},
    }


async def compare_vectors(
    load: Side, servers: Mapping[str, Server], texts: Texts, model: Model, folder: Path
) -> dict[str, dict[str, float]]:
    """By server: the cosines of its vectors to those of sentence-transformers in float32."""
    rows = one_by_one(texts.mixed)
    target = {
        name: target_of(one.port, one.path, folder / "peers-vectors.json", rows)
        for name, one in servers.items()
    }
    out = {name: str(folder / f"{one.port}.npy") for name, one in servers.items()}
    for name in servers:
        await load.call("fetch", target=target[name], count=COMPARED_TEXTS, out=out[name])
    reference = folder / "reference.npy"
    file = texts.write(folder)
    async with open_side("encode", cores=usable_cores(), folder=str(model.folder), texts=str(file)) as encode:
        await encode.call("run", first=0, count=COMPARED_TEXTS)
        await encode.call("save", path=str(reference))
    return {name: cosines(np.load(out[name]), np.load(reference)) for name in servers}
