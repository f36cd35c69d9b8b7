"""The replicas of one model: which of its workers gets the next batch.

Knows that a worker is a child that answers ``load`` and ``run``, and nothing of texts or requests;
``embedd.keeper`` starts and replaces the workers.

Invariants: a replica is leased only while it is loaded and lives; one that dies, hangs or reports an
unexpected failure is killed and a new one started.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from embedd.child import Child
from embedd.errors import ModelLoadError
from embedd.keeper import Keeper
from embedd.metrics import ModelMetrics
from embedd.ownership import beside
from embedd.pace import Pace
from embedd.places import ModelStatus
from embedd.replica import Place, Replica, WorkerCommand

__all__ = ["ModelStatus", "Pool", "open_pool"]

_TICK_S = 0.001
"""Some event loops count in milliseconds."""


class Pool:
    """The live replicas; made by ``open_pool``."""

    def __init__(self, commands: Sequence[WorkerCommand], metrics: ModelMetrics) -> None:
        self._commands = commands
        self._paces = [Pace() for _ in commands]
        self._keeper = Keeper(commands, self._welcome, metrics.worker_restarted)
        self._clock = asyncio.get_running_loop().time

    @property
    def status(self) -> ModelStatus:
        if usable := self._keeper.usable:
            if stalled_s := min(replica.stalled_s for replica in usable):
                return ModelStatus("stalled", f"no batch came back for {stalled_s:.1f} s")
            return ModelStatus("ready")
        return ModelStatus("failed" if self._keeper.has_failed else "loading", self._keeper.reason)

    @property
    def hello(self) -> Mapping[str, Any]:
        """What the worker that was loaded last said of itself; empty before the first."""
        return self._keeper.hello

    @property
    def tokens_per_s(self) -> float:
        """How fast batches have been coming back lately, from all live workers together, or from all that
        there should be while there is none.
        """
        live = [replica.tokens_per_s for replica in self._keeper.usable]
        return sum(live or [pace.tokens_per_s for pace in self._paces])

    @property
    def restart_s(self) -> float:
        """How long a lost worker is expected to be away."""
        return self._keeper.restart_s

    @property
    def pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return [replica.pid for replica in self._keeper.usable]

    @property
    def live(self) -> int:
        """How many workers are loaded."""
        return len(self._keeper.usable)

    async def wait_ready(self) -> None:
        """Returns when a replica is there.

        Raises:
            ModelUnavailable: none will start; the message says why.
        """
        await self._keeper.wait_ready()

    def check(self) -> None:
        """Raises ``ModelUnavailable`` while no replica will start."""
        self._keeper.check()

    async def acquire(self) -> Place:
        """Waits for a worker that should be handed its next batch now; give the place back with ``release``.

        Raises:
            ModelUnavailable: none will start; the message says why.
        """
        while True:
            now = self._clock()
            replica = min(self._keeper.usable, key=lambda replica: replica.takes_next_at, default=None)
            takes_next_at = replica.takes_next_at if replica else math.inf
            if replica and takes_next_at <= now + _TICK_S:
                return replica.take_place()
            self.check()
            await self._keeper.changed.received(takes_next_at - now)

    def release(self, place: Place) -> None:
        place.replica.leave(place)
        self._keeper.changed.send()

    async def keep(self, number: int) -> None:
        """Runs replica ``number`` and its successors, forever. Owned by ``open_pool``."""
        await self._keeper.keep(number)

    def _welcome(self, number: int, child: Child, hello: Mapping[str, Any]) -> Replica:
        command = self._commands[number]
        if hello["dim"] != command.dim:
            raise ModelLoadError(
                f"the model gives vectors of {hello['dim']} numbers, its files say {command.dim}"
            )
        return Replica(child, hello, command, self._paces[number])


@contextlib.asynccontextmanager
async def open_pool(commands: Sequence[WorkerCommand], metrics: ModelMetrics) -> AsyncIterator[Pool]:
    """Starts one worker for each command, all of one model and perhaps on several devices. They load in the
    background and end when it is left.
    """
    pool = Pool(commands, metrics)
    async with beside(*(pool.keep(number) for number in range(len(commands)))):
        yield pool
