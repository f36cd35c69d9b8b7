"""Clients of an embedding service, in a process of their own.

``closed``: each client sends its next request when the last has been answered. ``open``: requests are sent
at a rate, whatever becomes of them. Every answer is read as a client would read it: parsed, its vectors
decoded and counted.
"""

import asyncio
import base64
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvloop

from harness.metrics import percentiles_ms
from harness.sides.http import Answer, BadAnswer, Connection, connect, get, post
from harness.sides.serving import begin, serve

HOST = "127.0.0.1"
STAMP = b"@@@@@@@@"
"""Where it stands in a text there comes a number, so that no two texts of a run are the same."""


class Vector(msgspec.Struct):
    embedding: str


class Vectors(msgspec.Struct):
    data: list[Vector]


_vectors = msgspec.json.Decoder(Vectors)


@dataclass(frozen=True, slots=True)
class Target:
    """Requests to be sent in a circle, and how many texts each holds; 0 where no vectors come back."""

    port: int
    requests: list[bytes]
    texts: list[int]
    serial: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def read(cls, port: int, path: str, bodies: Path) -> "Target":
        """``bodies``: a JSON list of bodies, to be posted to ``path``; without any, it is got."""
        rows = json.loads(bodies.read_bytes())
        if not rows:
            return cls(port, [get(HOST, port, path)], [0])
        requests = [post(HOST, port, path, json.dumps(row, ensure_ascii=False).encode()) for row in rows]
        return cls(port, requests, [len(row.get("input", ())) for row in rows])

    def request(self, number: int) -> bytes:
        """The request of that number, stamped."""
        request = self.requests[number % len(self.requests)]
        return request.replace(STAMP, b"%08d" % next(self.serial)) if STAMP in request else request

    def check(self, number: int, answer: Answer) -> int:
        """How many vectors the answer brought.

        Raises:
            BadAnswer: not as many as there were texts.
        """
        texts = self.texts[number % len(self.texts)]
        found = len(rows_of(answer)) if texts else 0
        if found != texts:
            raise BadAnswer(f"{found} vectors for {texts} texts")
        return found


@dataclass(slots=True)
class Tally:
    """What came back. Times are seconds; ``finished`` counts from the start of the load."""

    began: float = field(default_factory=time.perf_counter)
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    finished: list[tuple[float, int]] = field(default_factory=list)
    without_retry_after: int = 0
    unanswered: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def age_s(self) -> float:
        return time.perf_counter() - self.began

    def add(self, target: Target, number: int, answer: Answer, seconds: float) -> None:
        self.statuses[answer.status] += 1
        if answer.status == 200:
            texts = target.check(number, answer)
            self.latencies.append(seconds)
            self.finished.append((self.age_s, texts))
            return
        self.refusals.append(seconds)
        self.without_retry_after += not answer.retry_after
        if answer.status != 429 and len(self.problems) < 5:
            self.problems.append(f"{answer.status}: {answer.body[:300].decode(errors='replace')}")

    def result(self, within_s: float) -> dict[str, Any]:
        """``requests`` were answered within so many seconds; ``texts`` are those whose vectors came."""
        return {
            "seconds": within_s,
            "requests": sum(at <= within_s for at, _ in self.finished),
            "texts": sum(texts for at, texts in self.finished if at <= within_s),
            "steady_texts_per_s": steady_rate(self.finished, within_s),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "answered": percentiles_ms(self.latencies) if self.latencies else None,
            "longest_ms": 1000 * max(self.latencies, default=0.0),
            "refused": percentiles_ms(self.refusals) if self.refusals else None,
            "refused_without_retry_after": self.without_retry_after,
            "unanswered": self.unanswered,
            "problems": self.problems,
        }


def steady_rate(finished: Sequence[tuple[float, int]], within_s: float) -> float | None:
    """Texts per second from the first answer on, whose own texts belong to the time before; None for one."""
    inside = sorted(each for each in finished if each[0] <= within_s)
    if len(inside) < 2 or inside[0][0] == within_s:
        return None
    return sum(texts for _, texts in inside[1:]) / (within_s - inside[0][0])


async def run_closed(
    target: Target,
    *,
    clients: int,
    first: int = 0,
    requests: int | None = None,
    seconds: float | None = None,
    pause_s: float = 0.0,
) -> dict[str, Any]:
    """``requests`` in all, or as many as begin within ``seconds``; each client rests ``pause_s`` between."""
    numbers = itertools.count()
    async with open_connections(target.port, clients) as connections:
        tally = Tally()

        async def client(connection: Connection) -> None:
            while True:
                number = next(numbers)
                if (requests is not None and number >= requests) or tally.age_s > (seconds or math.inf):
                    return
                await one_request(target, first + number, connection.send, tally)
                if pause_s:
                    await asyncio.sleep(pause_s)

        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(client(connection))
    return tally.result(seconds or max((at for at, _ in tally.finished), default=0.0))


async def run_open(target: Target, *, rate: float, seconds: float, patience_s: float) -> dict[str, Any]:
    """``rate`` requests a second for ``seconds``; none is waited for longer than ``patience_s`` after."""
    idle: list[Connection] = []
    tally = Tally()

    async def send(number: int) -> None:
        connection = idle.pop() if idle else await connect(HOST, target.port)
        await one_request(target, number, connection.send, tally)
        idle.append(connection)

    tasks = []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(tally.began + number / rate - time.perf_counter())
        tasks.append(asyncio.create_task(send(number)))
    done, late = await asyncio.wait(tasks, timeout=patience_s)
    tally.unanswered = len(late)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()
    for connection in idle:
        connection.close()
    return tally.result(seconds)


async def one_request(
    target: Target, number: int, send: Callable[[bytes], Awaitable[Answer]], tally: Tally
) -> None:
    request = target.request(number)
    started = time.perf_counter()
    answer = await send(request)
    tally.add(target, number, answer, time.perf_counter() - started)


async def fetch(target: Target, *, count: int, out: str) -> dict[str, Any]:
    """Saves the vectors of the first ``count`` requests, one row per text."""
    async with open_connections(target.port, 1) as (connection,):
        answers = [await connection.send(target.request(number)) for number in range(count)]
    np.save(out, np.concatenate([rows_of(answer) for answer in answers]))
    return {}


async def read(target: Target, *, count: int) -> dict[str, Any]:
    """The bodies of the answers to the first ``count`` requests, as text."""
    async with open_connections(target.port, 1) as (connection,):
        answers = [await connection.send(target.request(number)) for number in range(count)]
    failed = next((answer for answer in answers if answer.status != 200), None)
    if failed is not None:
        raise BadAnswer(f"{failed.status}: {failed.body[:300]!r}")
    return {"bodies": [answer.body.decode() for answer in answers]}


def rows_of(answer: Answer) -> Any:
    """The vectors (n, dim) of an answer in OpenAI's shape and base64.

    Raises:
        BadAnswer: it is none.
    """
    if answer.status != 200:
        raise BadAnswer(f"{answer.status}: {answer.body[:300]!r}")
    rows = [base64.b64decode(item.embedding) for item in _vectors.decode(answer.body).data]
    return np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), -1)


@asynccontextmanager
async def open_connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    connections = [await connect(HOST, port) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


class LoadSide:
    """Keeps the requests that it has once made ready. A target is ``port``, ``path`` and ``bodies``."""

    def __init__(self) -> None:
        self._targets: dict[tuple[int, str, str], Target] = {}

    def closed(self, target: dict[str, Any], **options: Any) -> dict[str, Any]:
        return uvloop.run(run_closed(self._ready(**target), **options))

    def open(self, target: dict[str, Any], **options: Any) -> dict[str, Any]:
        return uvloop.run(run_open(self._ready(**target), **options))

    def fetch(self, target: dict[str, Any], **options: Any) -> dict[str, Any]:
        return uvloop.run(fetch(self._ready(**target), **options))

    def read(self, target: dict[str, Any], **options: Any) -> dict[str, Any]:
        return uvloop.run(read(self._ready(**target), **options))

    def _ready(self, port: int, path: str, bodies: str) -> Target:
        key = (port, path, bodies)
        if key not in self._targets:
            self._targets[key] = Target.read(port, path, Path(bodies))
        return self._targets[key]


def main() -> None:
    begin()
    side = LoadSide()
    serve({"closed": side.closed, "open": side.open, "fetch": side.fetch, "read": side.read})


if __name__ == "__main__":
    main()
