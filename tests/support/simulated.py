"""Workers and a clock that exist only in the test: a minute of load passes in a second, the same each time.

The real pool, scheduler and lanes run on a loop whose clock jumps to the next event instead of waiting for
it. Only the processes are played: a worker takes as long for a batch as its ``Speed`` says, or does what
``on_batch`` makes of it.
"""

import asyncio
import itertools
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
from prometheus_client import CollectorRegistry

from embedd.batches import Forward
from embedd.encoding import Encoding
from embedd.errors import ChildDied
from embedd.lanes import Lanes
from embedd.metrics import Metrics
from embedd.pool import Pool, open_pool
from embedd.replica import WorkerCommand
from embedd.scheduler import Scheduler, open_scheduler

T = TypeVar("T")

DIM = 2


class Standstill(Exception):
    """Everybody waits and no timer runs: in real life the process would sleep for ever."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes in no time."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Standstill
        self._loop.jump(timeout)
        return []


def simulate(main: Coroutine[Any, Any, T]) -> T:
    """The result of ``main``, run on a clock of its own."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)


@dataclass(frozen=True, slots=True)
class Speed:
    """A batch takes ``overhead_s`` and its tokens, with padding if there is any."""

    tokens_per_s: float = 25_000.0
    overhead_s: float = 0.002
    forward: Forward = "packed"
    load_s: float = 2.0
    device: str = "cpu"

    def seconds(self, lengths: Sequence[int]) -> float:
        tokens = len(lengths) * max(lengths) if self.forward == "padded" else sum(lengths)
        return self.overhead_s + tokens / self.tokens_per_s


class SimulatedWorker:
    """A child process as the pool sees it: serial, first come first served."""

    def __init__(self, name: str, machine: "Machine", speed: Speed, pid: int) -> None:
        self.name, self.pid = name, pid
        self.exit_code: int | None = None
        self.closed = asyncio.Event()
        self._machine, self._speed = machine, speed
        self._turn = asyncio.Lock()

    async def call(
        self, op: str, payload: Mapping[str, Any], timeout_s: float | None = None
    ) -> Mapping[str, Any]:
        if self.closed.is_set():
            raise ChildDied(self.name, self.exit_code)
        work = asyncio.ensure_future(self._load() if op == "load" else self._run(payload))
        death = asyncio.ensure_future(self.closed.wait())
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.wait([work, death], return_when=asyncio.FIRST_COMPLETED)
        finally:
            death.cancel()
            if not work.done():
                work.cancel()
        if not work.done():
            raise ChildDied(self.name, self.exit_code)
        return work.result()

    async def _load(self) -> Mapping[str, Any]:
        self._machine.on_load(self)
        await asyncio.sleep(self._speed.load_s)
        return {"dim": DIM, "device": self._speed.device, "forward": self._speed.forward}

    async def _run(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        lengths = payload["lengths"]
        async with self._turn:
            self._machine.batches.append(lengths)
            bad = await self._machine.on_batch(self, payload)
            seconds = self._speed.seconds(lengths)
            await asyncio.sleep(seconds)
        ids = np.split(payload["ids"], np.cumsum(lengths)[:-1])
        rows = np.array([expected_row(one) for one in ids], dtype=np.float32)
        reply = {"rows": rows, "bad": bad, "seconds": seconds}
        if payload["token_rows"]:
            reply["tokens"] = payload["ids"].astype(payload["token_dtype"])[:, None]
        return reply

    def kill(self) -> None:
        if self.exit_code is None:
            self.exit_code = -9
            self.closed.set()


OnBatch = Callable[[SimulatedWorker, Mapping[str, Any]], Awaitable[list[int]]]
"""Called before each batch; gives the rows that are not finite, raises, kills, or never comes back."""


OnLoad = Callable[[SimulatedWorker], None]
"""Called before each load; may raise."""


async def no_fault(worker: SimulatedWorker, payload: Mapping[str, Any]) -> list[int]:
    return []


@dataclass
class Machine:
    """Where the workers run: ``batches`` has the lengths of every batch begun."""

    on_batch: OnBatch = no_fault
    on_load: OnLoad = lambda _: None
    speeds: Sequence[Speed] = (Speed(),)
    batches: list[list[int]] = field(default_factory=list)
    workers: list[SimulatedWorker] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def value(self, name: str, **labels: str) -> float:
        """A number of a scrape."""
        return self.registry.get_sample_value(name, {"model": "simulated", **labels}) or 0.0

    @asynccontextmanager
    async def open_child(
        self, _: str, args: Sequence[str], *, name: str, **_more: object
    ) -> AsyncIterator[SimulatedWorker]:
        worker = SimulatedWorker(name, self, self.speeds[int(args[0])], pid=len(self.workers))
        self.workers.append(worker)
        try:
            yield worker
        finally:
            worker.kill()


@asynccontextmanager
async def open_simulated(
    machine: Machine,
    *,
    max_waiting_tokens: int = 1_000_000,
    bulk_patience_s: float = 1.0,
    batch_timeout_s: float = 60.0,
    max_batch_tokens: int | None = None,
) -> AsyncIterator[tuple[Scheduler, Pool]]:
    """A scheduler and its pool over one worker for each speed of the machine, all loaded."""
    commands = [
        WorkerCommand(
            name="simulated",
            module="simulated",
            args=(str(number),),
            dim=DIM,
            load_timeout_s=300.0,
            batch_timeout_s=batch_timeout_s,
            max_batch_tokens=max_batch_tokens,
        )
        for number in range(len(machine.speeds))
    ]
    metrics = Metrics(machine.registry).of("simulated")
    lanes = Lanes(max_waiting_tokens=max_waiting_tokens, bulk_patience_s=bulk_patience_s)
    with patch("embedd.keeper.open_child", machine.open_child):
        async with (
            open_pool(commands, metrics) as pool,
            open_scheduler(pool, lanes, DIM, metrics) as scheduler,
        ):
            while len(pool.pids) < len(commands):  # noqa: ASYNC110 - costs no time here
                await asyncio.sleep(0.1)
            yield scheduler, pool


_serial = itertools.count(1)


def inputs_of(lengths: Sequence[int]) -> list[Encoding]:
    """Inputs of so many tokens, each with ids of its own."""
    return [Encoding(np.full(length, next(_serial), dtype=np.int32), length) for length in lengths]


def expected_row(ids: np.ndarray) -> list[float]:
    return [float(ids[0]), float(len(ids))]
