"""One data folder whose services are killed, one after the other, while clients write to them.

The cycles are the test's and the bench's; what was promised is in ``crash_writers``, and held in
``crash_checks``.
"""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from crash_checks import check_promises
from crash_writers import POINTS, Crowd, Promises
from promises import DIM, base64_of, point_of
from real_service import Launcher, Service

MOST_ANSWERS = 40
# The graph begins at 5,000 rows, and is first stored after 10,000 new ones.
POINTS_OF_A_YOUNG_GRAPH = 9_000
GRAPH_WITHIN_S = 30.0


def make_victim(launcher: Launcher, times: dict[str, list[float]]) -> "Victim":
    """A service with a collection of documents, and one of points that is large enough for a graph."""
    victim = Victim(launcher, launcher.start(), times)
    with victim.service.client() as client:
        assert client.put("/v1/collections/notes", json={}).status_code == 201
        assert client.put("/v1/collections/vectors", json={"dim": DIM}).status_code == 201
    victim.seed_points(POINTS_OF_A_YOUNG_GRAPH)
    victim.wait_for_graph()
    return victim


@dataclass(slots=True)
class Victim:
    """One data folder and its many services, one after the other."""

    launcher: Launcher
    service: Service
    times: dict[str, list[float]]
    promises: Promises = field(default_factory=Promises)

    async def write_until_killed(self, chance: random.Random) -> None:
        """All writers at once; SIGKILL when some number of requests has been answered."""
        async with aiohttp.ClientSession(self.service.url) as session:
            crowd = Crowd(session, self.promises, chance, answers_wanted=chance.randint(1, MOST_ANSWERS))
            async with asyncio.TaskGroup() as group:
                group.create_task(crowd.write())
                group.create_task(self._kill_after(crowd.enough))

    async def _kill_after(self, enough: asyncio.Event) -> None:
        await enough.wait()
        self.kill()

    def kill(self) -> None:
        assert self.service.kill() == -signal.SIGKILL, self.service.log_tail()

    def restart(self) -> None:
        self.service = self.launcher.launch(data=self.service.data)
        self.times.setdefault("ready after kill -9", []).append(self.service.wait_until_ready())

    def check(self, *, everything: bool = False) -> None:
        check_promises(self.service, self.promises, everything=everything)

    def seed_points(self, count: int) -> None:
        """Points that the writers replace and delete, and that make a graph."""
        ledger = self.promises.points
        ids = [f"p{n % 2}-{n // 2}" for n in range(count)]
        changes = {id: ledger.next_revision() for id in ids}
        with self.service.client() as client:
            for first in range(0, count, 6000):
                some = dict(list(changes.items())[first : first + 6000])
                with ledger.request(dict(some)):
                    points = [point_of(id, revision) for id, revision in some.items()]
                    assert client.post(POINTS, json={"points": points}).status_code == 200

    def wait_for_graph(self) -> None:
        self._wait(lambda: self._plan() == "graph", "no graph")

    def wait_for_stored_graph(self) -> None:
        self._wait((self.service.data / "collections/vectors/graph.json").exists, "no stored graph")

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + GRAPH_WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, otherwise + self.service.log_tail()
            time.sleep(0.02)

    def _plan(self) -> str:
        """How a search by vector in the large collection is answered now."""
        with self.service.client() as client:
            body = {"vector": base64_of("p0-0", 1)}
            return client.post("/v1/collections/vectors/search", json=body).json()["plan"]
