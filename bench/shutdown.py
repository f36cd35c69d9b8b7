"""Is anything dropped when a service is asked to end in the middle of its work?

Again and again a real service over the fake model gets SIGTERM at a random moment of mixed load: texts to
embed, searches, documents to keep, streamed answers, from clients with a connection for each request and from
some that keep theirs. Counted: requests that were taken and not answered to their end, exit codes other than
0, ends that took longer than they may, and documents that were acknowledged and are not there afterwards.

A connection that was kept open may be closed by the service just when the next request is sent on it: HTTP
lets a client send that one again, so it is counted by itself.
"""

import asyncio
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from harness.client import RequestFailed, check, server_sent_events
from harness.corpora import SEED
from harness.options import parse_options
from harness.report import machine, print_table, write
from harness.service import Service, clean_environment, free_port, open_server
from harness.targets import Goal, print_goals

ROUNDS, QUICK_ROUNDS = 100, 3
DRAIN_S = 10.0
MARGIN_S = 2.0
CLIENTS = 16
KEEPING = 4  # of them, those that keep their connection
LOAD_S = (0.2, 1.5)
NOTES = "/v1/collections/notes"


@dataclass(slots=True)
class Tally:
    """What became of requests, by kind, and the documents that were acknowledged."""

    outcomes: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)


class Load:
    """Mixed requests by many clients, until the service takes no more."""

    def __init__(self, url: str, tally: Tally, chance: random.Random, names: "itertools.count[int]") -> None:
        self._url = url
        self._tally = tally
        self._chance = chance
        self._names = names

    async def client(self, *, keeps: bool) -> None:
        """One request behind the other."""
        connector = aiohttp.TCPConnector(force_close=not keeps)
        timeout = aiohttp.ClientTimeout(total=60)
        kinds = (self._embed, self._search, self._write, self._ask)
        async with aiohttp.ClientSession(self._url, connector=connector, timeout=timeout) as session:
            while await self._try(self._chance.choice(kinds), session, keeps=keeps):
                pass

    async def _try(
        self,
        send: Callable[[aiohttp.ClientSession], Awaitable[None]],
        session: aiohttp.ClientSession,
        *,
        keeps: bool,
    ) -> bool:
        """Whether there is any sense in another request."""
        try:
            await send(session)
        except aiohttp.ClientConnectorError:
            return False  # nobody listens any more: it was not taken
        except (aiohttp.ClientError, RequestFailed, OSError, TimeoutError) as error:
            kind = "closed" if keeps and isinstance(error, aiohttp.ServerDisconnectedError) else "dropped"
            self._tally.outcomes[kind] += 1
            if kind == "dropped":
                self._tally.dropped.append(f"{send.__name__}: {error!r}")
            return kind == "closed"
        self._tally.outcomes["answered"] += 1
        return True

    async def _embed(self, session: aiohttp.ClientSession) -> None:
        await _post(session, "/v1/embeddings", {"input": [f"text {next(self._names)}"] * 8})

    async def _search(self, session: aiohttp.ClientSession) -> None:
        await _post(session, f"{NOTES}/search", {"query": f"tide {self._chance.random()}"})

    async def _write(self, session: aiohttp.ClientSession) -> None:
        ids = [f"d{next(self._names)}" for _ in range(4)]
        documents = [{"id": id_, "text": f"The tide of {id_} comes in at noon. " * 20} for id_ in ids]
        await _post(session, f"{NOTES}/documents?wait=true", {"documents": documents})
        self._tally.acknowledged.update(ids)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        messages = [{"role": "user", "content": f"When does tide {self._chance.random()} come in?"}]
        body = {"model": "extractive@notes", "messages": messages, "stream": True}
        async with session.post("/v1/chat/completions", json=body) as response:
            await check(response)
            events = [event async for event in server_sent_events(response)]
        if not events or events[-1] != "[DONE]":
            raise RequestFailed(f"a stream ended without its end, after {len(events)} events")


async def _post(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> None:
    async with session.post(path, json=body) as response:
        await check(response)
        await response.json()


@dataclass(frozen=True, slots=True)
class End:
    """How a service ended: ``seconds`` from the signal on."""

    seconds: float
    exit_code: int


async def end_under_load(
    service: Service, tally: Tally, chance: random.Random, names: "itertools.count[int]"
) -> End:
    """SIGTERM at a random moment of the load."""
    load = Load(service.url, tally, chance, names)
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(load.client(keeps=number < KEEPING))
        await asyncio.sleep(chance.uniform(*LOAD_S))
        began = time.perf_counter()
        service.signal(signal.SIGTERM)
        exit_code = await service.ended()
        seconds = time.perf_counter() - began
    return End(seconds, exit_code)


async def lost(service: Service, tally: Tally) -> int:
    """How many acknowledged documents are not there."""
    missing = 0
    async with aiohttp.ClientSession(service.url) as session:
        for id_ in tally.acknowledged:
            async with session.get(f"{NOTES}/documents/{id_}") as response:
                missing += response.status != 200
    tally.acknowledged.clear()
    return missing


async def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """All rounds over one data folder."""
    tally, chance, names = Tally(), random.Random(SEED), itertools.count()
    ends: list[End] = []
    missing = 0
    for number in range(rounds + 1):
        port = free_port()
        words = ["serve", "--port", str(port), "--data", str(folder / "data"), "--model", "fake"]
        command = [sys.executable, "-m", "api", *words, "--drain-timeout-s", str(DRAIN_S)]
        probes = ("/healthz", "/readyz")
        async with open_server(
            command, port, probes, log=folder / "log", environment=clean_environment()
        ) as service:
            if number == 0:
                await create(service)
            missing += await lost(service, tally)
            if number < rounds:
                ends.append(await end_under_load(service, tally, chance, names))
        with suppress(IndexError):
            print(f"{number + 1}/{rounds}: {ends[number].seconds:.2f} s, {dict(tally.outcomes)}", flush=True)
    return {
        "ends": rounds,
        "outcomes": dict(tally.outcomes),
        "dropped": len(tally.dropped),
        "first_dropped": tally.dropped[:5],
        "lost": missing,
        "other_exit_codes": sum(end.exit_code != 0 for end in ends),
        "median_s": median(end.seconds for end in ends),
        "longest_s": max(end.seconds for end in ends),
    }


async def create(service: Service) -> None:
    """The collection that is written to."""
    async with aiohttp.ClientSession(service.url) as session, session.put(NOTES, json={}) as response:
        response.raise_for_status()


async def main() -> None:
    """Runs the bench."""
    options = parse_options("shutdown", __doc__.partition("\n")[0])
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    where = machine()
    with tempfile.TemporaryDirectory(prefix="embedd-bench-") as folder:
        figures = await measure(rounds, Path(folder))
    print_table("ends under load", ["", ""], [[name, str(value)] for name, value in figures.items()])
    goals = [
        Goal("requests that were taken and dropped", figures["dropped"], "at most", 0),
        Goal("acknowledged documents lost", figures["lost"], "at most", 0),
        Goal("exit codes other than 0", figures["other_exit_codes"], "at most", 0),
        Goal("longest end", figures["longest_s"], "at most", DRAIN_S + MARGIN_S, "s"),
    ]
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"rounds": rounds, "clients": CLIENTS, "keeping": KEEPING, "drain_s": DRAIN_S}
    write(options.out, figures, settings, where)


if __name__ == "__main__":
    asyncio.run(main())
