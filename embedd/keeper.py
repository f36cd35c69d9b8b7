"""The worker processes of one model, whatever they are asked: started, watched and replaced.

Knows that a worker is a child that answers ``load``; ``welcome`` makes of a loaded one what the model is
served by. ``embedd.pool`` (batches) and ``embedd.generation.pool`` (tokens) are built on it.

Invariants: a worker is listed only while its process lives; one that ends is replaced, after 0.1 s doubling
to 30 s while starts fail; nothing here ticks while all is well.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import structlog

from embedd.broadcast import Broadcast
from embedd.child import Child, open_child
from embedd.errors import ChildError, ModelLoadError, ModelUnavailable, describe_exit

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
STABLE_AFTER_S = 30.0

_FIRST_LOAD_S = 5.0
"""What a worker is expected to take to load before one has."""

_log = structlog.get_logger()


class Launch(Protocol):
    """How a worker is started."""

    @property
    def name(self) -> str:
        """The model's."""

    @property
    def module(self) -> str: ...
    @property
    def args(self) -> tuple[str, ...]: ...
    @property
    def load_timeout_s(self) -> float: ...


class Worker(Protocol):
    """What a loaded child is to its model."""

    @property
    def alive(self) -> bool:
        """False from the moment it is given up, which is before its process is gone."""


WorkerT = TypeVar("WorkerT", bound=Worker)

Welcome = Callable[[int, Child, Mapping[str, Any]], WorkerT]
"""Makes worker ``number`` of a loaded child and of what it said of itself; raises ``ModelLoadError`` if
that is another model than was asked for.
"""

OnEvent = Callable[[int, Mapping[str, Any]], None]
"""Told what worker ``number`` says unasked."""


class Keeper(Generic[WorkerT]):
    """Keeps one worker for each of ``commands``; its owner runs ``keep`` of each number.

    ``hello`` is what the worker that was loaded last said of itself; empty before the first. ``changed``
    tells that a worker came or went, or has room again.
    """

    def __init__(
        self,
        commands: Sequence[Launch],
        welcome: Welcome[WorkerT],
        restarted: Callable[[], None],
        on_event: OnEvent | None = None,
    ) -> None:
        self._commands = commands
        self._welcome = welcome
        self._restarted = restarted
        self._on_event = on_event
        self._name = commands[0].name
        self._ready: list[WorkerT] = []
        self._failures: dict[int, str] = {}
        self._retry_after_s = FIRST_PAUSE_S
        self._load_s = _FIRST_LOAD_S
        self.hello: Mapping[str, Any] = {}
        self.reason = ""
        self.changed = Broadcast()
        self._clock = asyncio.get_running_loop().time

    @property
    def usable(self) -> list[WorkerT]:
        """The workers that are loaded and live."""
        return [worker for worker in self._ready if worker.alive]

    @property
    def has_failed(self) -> bool:
        """Whether no worker is there or will start."""
        return len(self._failures) == len(self._commands) and not self.usable

    @property
    def restart_s(self) -> float:
        """How long a lost worker is expected to be away."""
        return self._retry_after_s + self._load_s

    async def wait_ready(self) -> None:
        """Returns when a worker is there.

        Raises:
            ModelUnavailable: none will start; the message says why.
        """
        while not self.usable:
            self.check()
            await self.changed.received()

    def check(self) -> None:
        """Raises ``ModelUnavailable`` while no worker will start."""
        if self.has_failed:
            raise ModelUnavailable(
                f"model {self._name!r} cannot be loaded: {self.reason}",
                retry_after_s=self._retry_after_s,
            )

    async def keep(self, number: int) -> None:
        """Runs worker ``number`` and its successors, forever."""
        pause_s = FIRST_PAUSE_S
        while True:
            started = self._clock()
            await self._run_one(number)
            self._restarted()
            if self._clock() - started > STABLE_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._retry_after_s = pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_one(self, number: int) -> None:
        """One worker from its start to its end."""
        command = self._commands[number]
        on_event = None if self._on_event is None else partial(self._on_event, number)
        try:
            name = f"the worker of model {self._name!r}"
            async with open_child(command.module, command.args, name=name, on_event=on_event) as child:
                worker = await self._load(number, child, command)
                await self._offer(number, worker, child)
        except (ChildError, ModelLoadError, OSError) as error:
            self.reason = self._failures[number] = str(error)
            _log.error("worker_not_started", model=self._name, reason=self.reason)
            self.changed.send()

    async def _load(self, number: int, child: Child, command: Launch) -> WorkerT:
        started = self._clock()
        hello = await child.call("load", {}, timeout_s=command.load_timeout_s)
        worker = self._welcome(number, child, hello)
        self.hello = hello
        self._load_s = self._clock() - started
        seconds = round(self._load_s, 3)
        _log.info("worker_loaded", model=self._name, pid=child.pid, seconds=seconds, **hello)
        return worker

    async def _offer(self, number: int, worker: WorkerT, child: Child) -> None:
        """Lists the worker for as long as it lives."""
        self._ready.append(worker)
        self._failures.pop(number, None)
        self.reason = ""
        self.changed.send()
        try:
            await child.closed.wait()
        finally:
            self._ready.remove(worker)
            self.reason = f"{child.name} {describe_exit(child.exit_code)} and is started again"
            self.changed.send()
        _log.error("worker_died", model=self._name, pid=child.pid, exit_code=child.exit_code)
