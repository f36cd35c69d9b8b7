"""The replicas of one model: worker processes that are started, watched and replaced.

Knows that a worker is a child that answers ``load`` and ``run``, and nothing of texts or requests.

Invariants: a replica is leased only while it is loaded and lives; one that dies, hangs or reports an
unexpected failure is killed and a new one started, after 0.1 s doubling to 30 s while starts fail;
nothing here ticks while all is well.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import structlog

from embedd.child import Child, open_child
from embedd.errors import ChildError, ModelLoadError, ModelUnavailable, describe_exit
from embedd.ownership import beside
from embedd.token_vectors import TokenDtype
from embedd.tokenizer import Encoding

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
STABLE_AFTER_S = 30.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """``loading`` until a worker is there for the first time or again, ``failed`` while none will start."""

    state: Literal["loading", "ready", "failed"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How a worker is started, and how long it and its batches may take.

    ``in_flight`` batches are handed to one worker at a time: the second waits in its socket.
    """

    name: str
    module: str
    args: tuple[str, ...]
    dim: int
    load_timeout_s: float
    batch_timeout_s: float
    in_flight: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker made of a batch: ``rows`` (n, dim), of which those in ``bad`` are not finite.

    ``tokens``: for each input its token vectors (t, token_dim), if asked for. ``seconds``: the forward.
    """

    rows: npt.NDArray[np.float32]
    bad: frozenset[int]
    tokens: Sequence[npt.NDArray[Any]]
    seconds: float


class Replica:
    """One loaded worker."""

    def __init__(self, child: Child, command: WorkerCommand) -> None:
        self._child = child
        self._command = command
        self.in_flight = 0
        self.alive = True

    @property
    def pid(self) -> int:
        return self._child.pid

    async def run(self, inputs: Sequence[Encoding], token_dtype: TokenDtype | None = None) -> Answer:
        """The model's answer to n inputs, with the vectors of all their tokens if ``token_dtype`` is given.

        Raises:
            ChildError: the worker died, hung, or failed in a way it should not; it is gone in any case.
        """
        lengths = [len(one.ids) for one in inputs]
        payload = {
            "ids": np.concatenate([one.ids for one in inputs]),
            "lengths": np.array(lengths, dtype=np.int32),
            "seconds": np.array([one.second for one in inputs], dtype=np.int32),
            "token_rows": list(range(len(inputs))) if token_dtype else [],
            "token_dtype": token_dtype or "float32",
        }
        try:
            reply = await self._child.call(
                "run", payload, timeout_s=self._command.batch_timeout_s * self._command.in_flight
            )
        except ChildError:
            self.alive = False
            self._child.kill()  # after a CUDA error, for one, only a new process is of use
            raise
        tokens = np.split(reply["tokens"], np.cumsum(lengths)[:-1]) if token_dtype else []
        return Answer(reply["rows"], frozenset(reply["bad"]), tokens, reply["seconds"])


class Pool:
    """The live replicas; made by ``open_pool``."""

    def __init__(self, command: WorkerCommand, replicas: int) -> None:
        self._command = command
        self._ready: list[Replica] = []
        self._failures: dict[int, str] = {}
        self._count = replicas
        self._reason = ""
        self._retry_after_s = FIRST_PAUSE_S
        self._changed = asyncio.Event()

    @property
    def status(self) -> ModelStatus:
        if self._usable:
            return ModelStatus("ready")
        if len(self._failures) == self._count:
            return ModelStatus("failed", self._reason)
        return ModelStatus("loading", self._reason)

    @property
    def pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return [replica.pid for replica in self._usable]

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
        if self.status.state == "failed":
            raise ModelUnavailable(
                f"model {self._command.name!r} cannot be loaded: {self._reason}",
                retry_after_s=self._retry_after_s,
            )

    async def acquire(self) -> Replica:
        """Waits for the least busy replica with a free place, which is taken until ``release``.

        Raises:
            ModelUnavailable: none will start; the message says why.
        """
        while True:
            free = [replica for replica in self._usable if replica.in_flight < self._command.in_flight]
            if free:
                replica = min(free, key=lambda replica: replica.in_flight)
                replica.in_flight += 1
                return replica
            self.check()
            await self._change()

    def release(self, replica: Replica) -> None:
        replica.in_flight -= 1
        self._announce()

    async def keep(self, number: int) -> None:
        """Runs replica ``number`` and its successors, forever. Owned by ``open_pool``."""
        clock = asyncio.get_running_loop().time
        pause_s = FIRST_PAUSE_S
        while True:
            started = clock()
            await self._run_one(number)
            if clock() - started > STABLE_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._retry_after_s = pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_one(self, number: int) -> None:
        """One worker from its start to its end."""
        name = f"the worker of model {self._command.name!r}"
        try:
            async with open_child(self._command.module, self._command.args, name=name) as child:
                await self._load(child)
                await self._offer(number, child)
        except (ChildError, ModelLoadError, OSError) as error:
            self._reason = self._failures[number] = str(error)
            _log.error("worker_not_started", model=self._command.name, reason=self._reason)
            self._announce()

    async def _load(self, child: Child) -> None:
        started = asyncio.get_running_loop().time()
        hello = await child.call("load", {}, timeout_s=self._command.load_timeout_s)
        if hello["dim"] != self._command.dim:
            raise ModelLoadError(
                f"the model gives vectors of {hello['dim']} numbers, its files say {self._command.dim}"
            )
        seconds = round(asyncio.get_running_loop().time() - started, 3)
        _log.info("worker_loaded", model=self._command.name, pid=child.pid, seconds=seconds, **hello)

    async def _offer(self, number: int, child: Child) -> None:
        """Lets the replica be leased for as long as it lives."""
        replica = Replica(child, self._command)
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
        _log.error("worker_died", model=self._command.name, pid=child.pid, exit_code=child.exit_code)

    def _announce(self) -> None:
        """Wakes all who wait for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()


@contextlib.asynccontextmanager
async def open_pool(command: WorkerCommand, replicas: int) -> AsyncIterator[Pool]:
    """Starts ``replicas`` workers, which load in the background, and ends them all when left."""
    pool = Pool(command, replicas)
    async with beside(*(pool.keep(number) for number in range(replicas))):
        yield pool
