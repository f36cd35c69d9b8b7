"""The replicas of one language model: which of them gets a request, and when one is too many.

Knows tokens of the KV cache and rates; neither texts nor frames. ``embedd.keeper`` starts and replaces the
workers.

Invariant: what is promised of a worker's cache is given back when the request ends, however it ends.
"""

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from embedd.child import Child
from embedd.errors import ModelUnavailable, Overloaded
from embedd.generation.metrics import GeneratorMetrics
from embedd.generation.worker import GenerationWorker
from embedd.keeper import Keeper
from embedd.ownership import beside
from embedd.pool import ModelStatus

_REMEMBERED_HEADS = 4096
_DETOUR = 0.25
"""How much of its cache a worker may have promised beyond the least loaded one, to be preferred for a prompt
whose beginning it knows.
"""


@dataclass(frozen=True, slots=True)
class GenerationCommand:
    """How a worker is started; one that is silent for ``step_timeout_s`` while it has requests has hung."""

    name: str
    module: str
    args: tuple[str, ...]
    load_timeout_s: float
    step_timeout_s: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request will need of the cache, in tokens, and what its prompt begins with."""

    tokens: int
    head: bytes


class GenerationPool:
    """The live workers; made by ``open_generation_pool``."""

    def __init__(
        self, commands: Sequence[GenerationCommand], max_waiting_tokens: int, metrics: GeneratorMetrics
    ) -> None:
        self._commands = commands
        self._max_waiting_tokens = max_waiting_tokens
        self._metrics = metrics
        self._workers: dict[int, GenerationWorker] = {}
        self._heads: OrderedDict[bytes, int] = OrderedDict()
        self._keeper = Keeper(commands, self._welcome, metrics.worker_restarted, self._hear)
        metrics.follow(self)

    @property
    def status(self) -> ModelStatus:
        if self._keeper.usable:
            return ModelStatus("ready")
        return ModelStatus("failed" if self._keeper.has_failed else "loading", self._keeper.reason)

    @property
    def hello(self) -> Mapping[str, Any]:
        """What the worker that was loaded last said of itself; empty before the first."""
        return self._keeper.hello

    @property
    def pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return [worker.pid for worker in self._keeper.usable]

    @property
    def running(self) -> int:
        return sum(worker.running for worker in self._keeper.usable)

    @property
    def waiting(self) -> int:
        return sum(worker.waiting for worker in self._keeper.usable)

    @property
    def preempted(self) -> int:
        return sum(worker.preempted for worker in self._keeper.usable)

    @property
    def live_workers(self) -> int:
        return len(self._keeper.usable)

    @property
    def kv_usage(self) -> float:
        """The share (0 to 1) of all pages that answers under way hold."""
        pages = sum(worker.number_of_pages for worker in self._keeper.usable)
        return sum(worker.used_pages for worker in self._keeper.usable) / pages if pages else 0.0

    @property
    def waiting_tokens(self) -> int:
        """What is promised beyond what the caches hold."""
        return sum(max(0, worker.reserved - worker.capacity) for worker in self._keeper.usable)

    async def wait_ready(self) -> None:
        """Returns when a worker is there.

        Raises:
            ModelUnavailable: none will start; the message says why.
        """
        await self._keeper.wait_ready()

    def admit(self) -> None:
        """Raises ``Overloaded`` while more waits than may."""
        if (waiting := self.waiting_tokens) > self._max_waiting_tokens:
            self._metrics.overloaded()
            seconds = waiting / sum(worker.pace.tokens_per_s for worker in self._keeper.usable)
            raise Overloaded(
                f"{waiting} tokens are waiting for model {self._commands[0].name!r}, "
                f"limit {self._max_waiting_tokens}",
                retry_after_s=seconds,
            )

    @contextlib.contextmanager
    def reserve(self, demand: Demand) -> Iterator[GenerationWorker]:
        """The worker that takes the request; what it will need is promised while the block runs.

        Raises:
            ModelUnavailable: no worker lives.
            Overloaded: too much is waiting.
        """
        self.admit()
        worker = self._choose(demand)
        worker.reserved += demand.tokens
        try:
            yield worker
        finally:
            worker.reserved -= demand.tokens

    def _choose(self, demand: Demand) -> GenerationWorker:
        live = {number: worker for number, worker in self._workers.items() if worker in self._keeper.usable}
        if not live:
            raise ModelUnavailable(self._keeper.reason or "no worker is loaded", self._keeper.restart_s)
        least = min(live, key=lambda number: live[number].reserved / live[number].capacity)
        known = self._heads.get(demand.head)
        if known in live and live[known].reserved <= live[least].reserved + _DETOUR * live[known].capacity:
            least = known
        self._heads[demand.head] = least
        self._heads.move_to_end(demand.head)
        if len(self._heads) > _REMEMBERED_HEADS:
            self._heads.popitem(last=False)
        return live[least]

    async def keep(self, number: int) -> None:
        """Runs worker ``number`` and its successors, forever. Owned by ``open_generation_pool``."""
        await self._keeper.keep(number)

    def _welcome(self, number: int, child: Child, hello: Mapping[str, Any]) -> GenerationWorker:
        patience_s = self._commands[number].step_timeout_s
        worker = GenerationWorker(child, hello, patience_s, self._keeper.restart_s)
        self._workers[number] = worker
        return worker

    def _hear(self, number: int, event: Mapping[str, Any]) -> None:
        if worker := self._workers.get(number):
            worker.hear(event)


@contextlib.asynccontextmanager
async def open_generation_pool(
    commands: Sequence[GenerationCommand], max_waiting_tokens: int, metrics: GeneratorMetrics
) -> AsyncIterator[GenerationPool]:
    """Starts one worker for each command. They load in the background and end when it is left."""
    pool = GenerationPool(commands, max_waiting_tokens, metrics)
    async with beside(*(pool.keep(number) for number in range(len(commands)))):
        yield pool
