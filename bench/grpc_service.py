"""What does gRPC cost beside HTTP, and does a stream keep the engine busy?

A client of one short text over HTTP with base64 and over gRPC, turn about, both with the client that people
use from Python (aiohttp, grpc.aio) and both to numbers in an array; with the fake model, so that the way is
measured and not the model. Then a stream of texts through the real model against the engine alone, each on
the same core, the service and its client on the other.
"""

import asyncio
import base64
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np

from api.grpc.v1.embedder_pb2 import EmbedRequest, EmbedStreamRequest
from api.grpc.v1.embedder_pb2_grpc import EmbedderStub
from harness.comparison import ratio, take_turns
from harness.model import bundled_model
from harness.options import parse_options
from harness.report import machine, print_table, write
from harness.service import free_port, move, open_service
from harness.side import open_side, usable_cores
from harness.stage import SETTINGS, WORKER, Texts
from harness.targets import Goal, print_goals
from harness.texts import load_texts

SHORT = "The moon pulls the sea, day {}."
TEXTS_PER_MESSAGE = 64
ROUNDS = 6
PARTS = ("calls", "stream")


async def calls(count: int) -> dict[str, Any]:
    """Microseconds of one call, the medians of each round."""
    port = free_port()
    settings = SETTINGS | {"grpc_port": str(port)}
    async with (
        open_service(model="fake", settings=settings) as service,
        aiohttp.ClientSession(service.url) as session,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = EmbedderStub(channel)

        async def over_http(text: str) -> int:
            body = {"input": text, "encoding_format": "base64"}
            async with session.post("/v1/embeddings", json=body) as response:
                answer = await response.json()
            return len(np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), dtype="<f4"))

        async def over_grpc(text: str) -> int:
            answer = await stub.Embed(EmbedRequest(texts=[text]))
            return len(np.frombuffer(answer.vectors, dtype="<f4"))

        sides = {"HTTP": median_of(over_http, count), "gRPC": median_of(over_grpc, count)}
        measured = await take_turns(sides, ROUNDS + 1)
    warm = {name: rounds[1:] for name, rounds in measured.items()}
    return {
        "p50_us": {name: statistics.median(rounds) for name, rounds in warm.items()},
        "grpc_to_http": ratio(warm["gRPC"], warm["HTTP"]),
        "rounds": warm,
    }


def median_of(call: Callable[[str], Awaitable[int]], count: int) -> Callable[[int], Awaitable[float]]:
    """A round: ``count`` calls one after the other, each with a text of its own; their median."""

    async def run(number: int) -> float:
        taken = []
        for place in range(count):
            began = time.perf_counter()
            assert await call(SHORT.format(number * count + place))
            taken.append(time.perf_counter() - began)
        return 1e6 * statistics.median(taken)

    return run


async def stream(data: Path, count: int, rounds: int) -> dict[str, Any]:
    """Texts a second of one stream, and of the engine alone without its tokenizing, in turn."""
    texts = load_texts(data, count * rounds)
    cores, port = usable_cores(), free_port()
    front, back = cores[:1], cores[-1:]
    with tempfile.TemporaryDirectory() as folder:
        file = Texts(texts, []).write(Path(folder))
        engine = open_side(
            "engine", cores=back, folder=str(bundled_model().folder), texts=str(file), dtype="auto"
        )
        settings = SETTINGS | {"grpc_port": str(port)}
        async with engine as alone, open_service(settings=settings, cores=front) as service:
            for worker in service.processes(WORKER):
                move(worker, back)
            os.sched_setaffinity(0, front)

            async def run_engine(number: int) -> float:
                took = await alone.call("run", first=number * count, count=count)
                return float(count / (took["seconds"] - took["tokenize_s"]))

            async def run_stream(number: int) -> float:
                first = number * count
                return count / await streamed(port, texts[first : first + count])

            measured = await take_turns({"engine": run_engine, "stream": run_stream}, rounds)
            os.sched_setaffinity(0, cores)
    return {
        "texts_per_s": {name: statistics.median(rates) for name, rates in measured.items()},
        "share": ratio(measured["stream"], measured["engine"]),
        "rounds": measured,
    }


async def streamed(port: int, texts: Sequence[str]) -> float:
    """The seconds from the first message to the last vector."""

    async def batches() -> AsyncIterator[EmbedStreamRequest]:
        for first in range(0, len(texts), TEXTS_PER_MESSAGE):
            batch = EmbedRequest(texts=texts[first : first + TEXTS_PER_MESSAGE])
            yield EmbedStreamRequest(batch=batch)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        began, rows = time.perf_counter(), 0
        async for answer in EmbedderStub(channel).EmbedStream(batches()):
            assert answer.HasField("batch"), answer.error
            rows += len(np.frombuffer(answer.batch.vectors, dtype="<f4")) // answer.batch.dim
        assert rows == len(texts)
        return time.perf_counter() - began


async def main() -> None:
    options = parse_options("grpc_service", __doc__.partition("\n")[0], parts=PARTS)
    where, goals = machine(), list[Goal]()
    figures: dict[str, Any] = {}
    if "calls" in options.parts:
        figures["calls"] = one = await calls(100 if options.quick else 1000)
        rows = [[name, f"{value:.0f}"] for name, value in one["p50_us"].items()]
        print_table("one short text, fake model", ["", "p50, µs"], rows)
        goals.append(Goal("p50 of gRPC to that of HTTP", one["grpc_to_http"], "at most", 1.5))
    if "stream" in options.parts:
        count, rounds = (512, 2) if options.quick else (10_000, 1)
        figures["stream"] = one = await stream(options.data, count, rounds)
        rows = [[name, f"{value:.1f}"] for name, value in one["texts_per_s"].items()]
        print_table(f"{count} texts, {rounds} rounds", ["", "texts a second"], rows)
        goals.append(Goal("stream to engine", one["share"], "at least", 0.95, "%"))
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"quick": options.quick, "texts_per_message": TEXTS_PER_MESSAGE, **SETTINGS}
    write(options.out, figures, settings, where)


if __name__ == "__main__":
    asyncio.run(main())
