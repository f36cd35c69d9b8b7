"""Clients of several services through one address: over HTTP and gRPC, each text a new one.

Every request only asks, so it may be sent twice: what comes back as an error was lost by whoever stands in
between.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc

from api.grpc.v1.embedder_pb2 import EmbedRequest
from api.grpc.v1.embedder_pb2_grpc import EmbedderStub
from harness.balancers import Ports

Send = Callable[[str], Awaitable[str]]
"""Sends a text; gives ``ok`` or what went wrong."""

PROTOCOLS = ("HTTP", "gRPC")
_REQUEST_S = 20.0
_TOGETHER_S = 0.1
"""What is answered in less is of one batch."""
# https://grpc.io/docs/guides/retry/
_AGAIN = {
    "methodConfig": [
        {
            "name": [{"service": "embedd.v1.Embedder"}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_numbers = itertools.count()


@dataclass(slots=True)
class Tally:
    """How requests ended; of those that were answered how long they took and when that was, in seconds."""

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    @property
    def failed(self) -> dict[str, int]:
        return {what: count for what, count in self.outcomes.items() if what != "ok"}


class Clients:
    """``count`` clients, each with its next request when the last has been answered, until told to stop."""

    def __init__(self, send: Send, count: int) -> None:
        self.tally = Tally()
        self._send = send
        self._count = count
        self._stopped = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._client())

    async def for_seconds(self, seconds: float, *, behind_s: float) -> float:
        """Run for so long, ``behind_s`` of warming up; the requests that were answered in a second."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.run())
            await asyncio.sleep(behind_s)
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            self.stop()
        return rate_of([moment - began for moment in self.tally.moments], seconds)

    def stop(self) -> None:
        self._stopped = True

    async def _client(self) -> None:
        while not self._stopped:
            began = time.perf_counter()
            outcome = await self._send(f"The tide of day {next(_numbers)} comes in at noon.")
            self.tally.outcomes[outcome] += 1
            if outcome == "ok":
                self.tally.moments.append(time.perf_counter())
                self.tally.latencies.append(self.tally.moments[-1] - began)


def rate_of(moments: Sequence[float], within_s: float) -> float:
    """Answers a second between 0 and ``within_s``: those behind the first batch, by the time they took."""
    inside = sorted(moment for moment in moments if 0 <= moment <= within_s)
    behind = [moment for moment in inside if moment - inside[0] > _TOGETHER_S]
    if not behind:
        raise ValueError(f"answers came at less than two moments in {within_s:g} s")
    return len(behind) / (behind[-1] - inside[0])


@asynccontextmanager
async def open_http(front: Ports) -> AsyncIterator[Send]:
    """As many connections as there are clients, kept open."""
    timeout, connector = aiohttp.ClientTimeout(total=_REQUEST_S), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{front.http}", timeout=timeout, connector=connector
    ) as session:

        async def send(text: str) -> str:
            try:
                async with session.post("/v1/embeddings", json={"input": [text]}) as response:
                    answer: Any = await response.json(content_type=None)
                    return "ok" if response.status == 200 and answer["data"] else str(response.status)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                return type(error).__name__

        yield send


@asynccontextmanager
async def open_grpc(front: Ports, *, again: bool = False) -> AsyncIterator[Send]:
    """One connection for all clients, as gRPC has it; with ``again`` they send what was broken off again."""
    options = (("grpc.service_config", json.dumps(_AGAIN)),) if again else ()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{front.grpc}", options=options) as channel:
        stub = EmbedderStub(channel)

        async def send(text: str) -> str:
            try:
                answer = await stub.Embed(EmbedRequest(texts=[text]), timeout=_REQUEST_S)
            except grpc.aio.AioRpcError as error:
                return str(error.code().name)
            return "ok" if answer.vectors else "empty"

        yield send


def open_clients(protocol: str, balancer: str, front: Ports) -> AbstractAsyncContextManager[Send]:
    """How clients of ``protocol`` reach services behind ``balancer``: nginx sends no call again."""
    return open_http(front) if protocol == "HTTP" else open_grpc(front, again=balancer == "nginx")
