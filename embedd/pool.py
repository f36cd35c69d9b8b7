"""The replicas of one model: worker processes that are started, watched and replaced.

Knows that a worker is a child that answers ``load`` and ``run``, and nothing of texts or requests.

Invariants: a replica is leased only while it is loaded and lives; one that dies, hangs or reports an
unexpected failure is killed and a new one started, after 0.1 s doubling to 30 s while starts fail;
nothing here ticks while all is well.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from embedd.child import Child, open_child
from embedd.errors import ChildError, ModelLoadError, ModelUnavailable, describe_exit
from embedd.metrics import ModelMetrics
from embedd.ownership import beside
from embedd.pace import Pace
from embedd.replica import Place, Replica, WorkerCommand

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
STABLE_AFTER_S = 30.0

_FIRST_LOAD_S = 5.0
"""What a worker is expected to take to load before one has."""

_TICK_S = 0.001
"""Some event loops count in milliseconds."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """``loading`` until a worker is there for the first time or again, ``failed`` while none will start,
    ``stalled`` while every worker that is there is late with a batch.
    """

    state: Literal["loading", "ready", "stalled", "failed"]
    reason: str = ""


class Pool:
    """The live replicas; made by ``open_pool``.

    ``hello`` is what the worker that was loaded last said of itself; empty before the first.
    """

    def __init__(self, commands: Sequence[WorkerCommand], metrics: ModelMetrics) -> None:
        self._commands = commands
        self._metrics = metrics
        self._name = commands[0].name
        self._paces = [Pace() for _ in commands]
        self._ready: list[Replica] = []
        self._failures: dict[int, str] = {}
        self._reason = ""
        self._retry_after_s = FIRST_PAUSE_S
        self._load_s = _FIRST_LOAD_S
        self.hello: Mapping[str, Any] = {}
        self._changed = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    @property
    def status(self) -> ModelStatus:
        if usable := self._usable:
            if stalled_s := min(replica.stalled_s for replica in usable):
                return ModelStatus("stalled", f"no batch came back for {stalled_s:.1f} s")
            return ModelStatus("ready")
        return ModelStatus("failed" if self._has_failed else "loading", self._reason)

    @property
    def tokens_per_s(self) -> float:
        """How fast batches have been coming back lately, from all live workers together, or from all that
        there should be while there is none.
        """
        live = [replica.tokens_per_s for replica in self._usable]
        return sum(live or [pace.tokens_per_s for pace in self._paces])

    @property
    def restart_s(self) -> float:
        """How long a lost worker is expected to be away."""
        return self._retry_after_s + self._load_s

    @property
    def pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return [replica.pid for replica in self._usable]

    @property
    def _has_failed(self) -> bool:
        """Whether no replica is there or will start."""
        return len(self._failures) == len(self._commands) and not self._usable

    @property
    def _usable(self) -> list[Replica]:
        return [replica for replica in self._ready if replica.alive]

    async def wait_ready(self) -> None:
        """Returns when a replica is there.

        Raises:
            ModelUnavailable: none will start; the message says why.
        """
        while not self._usable:
            self.check()
            await self._change()

    def check(self) -> None:
        """Raises ``ModelUnavailable`` while no replica will start."""
        if self._has_failed:
            raise ModelUnavailable(
                f"model {self._name!r} cannot be loaded: {self._reason}",
                retry_after_s=self._retry_after_s,
            )

    async def acquire(self) -> Place:
        """Waits for a worker that should be handed its next batch now; give the place back with ``release``.

        Raises:
            ModelUnavailable: none will start; the message says why.
        """
        while True:
            now = self._clock()
            replica = min(self._usable, key=lambda replica: replica.takes_next_at, default=None)
            takes_next_at = replica.takes_next_at if replica else math.inf
            if replica and takes_next_at <= now + _TICK_S:
                return replica.take_place()
            self.check()
            await self._change(takes_next_at)

    def release(self, place: Place) -> None:
        place.replica.leave(place)
        self._announce()

    async def keep(self, number: int) -> None:
        """Runs replica ``number`` and its successors, forever. Owned by ``open_pool``."""
        pause_s = FIRST_PAUSE_S
        while True:
            started = self._clock()
            await self._run_one(number)
            self._metrics.worker_restarted()
            if self._clock() - started > STABLE_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._retry_after_s = pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_one(self, number: int) -> None:
        """One worker from its start to its end."""
        command = self._commands[number]
        try:
            name = f"the worker of model {self._name!r}"
            async with open_child(command.module, command.args, name=name) as child:
                hello = await self._load(child, command)
                await self._offer(number, Replica(child, hello, command, self._paces[number]), child)
        except (ChildError, ModelLoadError, OSError) as error:
            self._reason = self._failures[number] = str(error)
            _log.error("worker_not_started", model=self._name, reason=self._reason)
            self._announce()

    async def _load(self, child: Child, command: WorkerCommand) -> Mapping[str, Any]:
        """What the worker says of itself once it is loaded."""
        started = self._clock()
        hello = await child.call("load", {}, timeout_s=command.load_timeout_s)
        if hello["dim"] != command.dim:
            raise ModelLoadError(
                f"the model gives vectors of {hello['dim']} numbers, its files say {command.dim}"
            )
        self.hello = hello
        self._load_s = self._clock() - started
        seconds = round(self._load_s, 3)
        _log.info("worker_loaded", model=self._name, pid=child.pid, seconds=seconds, **hello)
        return hello

    async def _offer(self, number: int, replica: Replica, child: Child) -> None:
        """Lets the replica be leased for as long as it lives."""
        self._ready.append(replica)
        self._failures.pop(number, None)
        self._reason = ""
        self._announce()
        try:
            await child.closed.wait()
        finally:
            self._ready.remove(replica)
            self._reason = f"{child.name} {describe_exit(child.exit_code)} and is started again"
            self._announce()
        _log.error("worker_died", model=self._name, pid=child.pid, exit_code=child.exit_code)

    def _announce(self) -> None:
        """Wakes all who wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self, until: float = math.inf) -> None:
        """Waits for one, or until then on the loop's clock."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until if math.isfinite(until) else None):
                await self._changed.wait()


@contextlib.asynccontextmanager
async def open_pool(commands: Sequence[WorkerCommand], metrics: ModelMetrics) -> AsyncIterator[Pool]:
    """Starts one worker for each command, all of one model and perhaps on several devices. They load in the
    background and end when it is left.
    """
    pool = Pool(commands, metrics)
    async with beside(*(pool.keep(number) for number in range(len(commands)))):
        yield pool
