"""The models of one kind by name, the ones that could not be opened among them. They come and go while others
serve.

Invariants: whatever is wrong with one model's name or files, it keeps neither the service nor another model
from starting; it is listed with the reason and refuses its own requests. A model is opened and closed by a
task of its own; one that leaves, or that another takes the place of, first ends what it was asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Generic, Literal, Protocol, TypeVar

import structlog

from embedd.errors import EmbeddError, ModelLoadError, ModelUnavailable, UnknownModel
from embedd.ownership import owned_tasks
from embedd.pool import ModelStatus
from embedd.specs import GeneratorCard, ModelCard

log = structlog.get_logger()

Kind = Literal["embedding", "reranking", "generator"]

RETRY_AFTER_S = 5.0
"""When to ask again for a model that is being fetched or loaded."""
LONGEST_LEAVE_S = 60.0
"""How long a model that leaves is waited for by those who use it."""


class RunningModel(Protocol):
    """What every model tells about itself."""

    @property
    def card(self) -> ModelCard | GeneratorCard:
        """What it is."""

    @property
    def status(self) -> ModelStatus:
        """Whether it can answer."""

    @property
    def device(self) -> str:
        """Where it runs."""

    @property
    def dtype(self) -> str:
        """What it computes in."""

    @property
    def worker_pids(self) -> list[int]:
        """The processes of its loaded workers; none for what runs elsewhere, or in this one."""

    async def wait_ready(self) -> None:
        """Returns when it can answer; raises an `EmbeddError` if it never will."""

    async def idle(self) -> None:
        """Returns when it is asked nothing any more."""


ModelT = TypeVar("ModelT", bound=RunningModel)


@dataclass(frozen=True, slots=True)
class ModelState:
    """A configured model as it is now; one that could not be opened has no card.

    ``device`` and ``dtype`` are empty until it has been loaded for the first time, as is a generator's
    ``context``, the most tokens of a prompt and its answer.
    """

    name: str
    kind: Kind
    status: ModelStatus
    card: ModelCard | GeneratorCard | None = None
    device: str = ""
    dtype: str = ""
    context: int | None = None


class Registry(Generic[ModelT]):
    """``running`` models, those that are ``coming`` with what they wait for, and those that are ``broken``
    with the reasons. Made by ``open_registry``.

    ``default`` is None if requests must name a model.
    """

    def __init__(self, kind: Kind, default: str | None, tasks: asyncio.TaskGroup) -> None:
        self.kind = kind
        self.default = default
        self.running: dict[str, ModelT] = {}
        self.coming: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self._tasks = tasks
        self._held: dict[str, _Held[ModelT]] = {}
        self._all: set[_Held[ModelT]] = set()  # those as well that come, or leave

    @property
    def names(self) -> list[str]:
        """What requests may ask for."""
        return list(dict.fromkeys([*self.running, *self.coming, *self.broken]))

    def get(self, name: str | None = None) -> ModelT:
        """The model called ``name``, or the default one.

        Raises:
            UnknownModel: there is no such model.
            ModelUnavailable: it is still being fetched or loaded for the first time.
            ModelLoadError: it could not be opened.
        """
        wanted = name or self.default or ""
        if wanted in self.running:
            return self.running[wanted]
        if wanted in self.coming:
            raise ModelUnavailable(f"model {wanted!r} is not there yet: {self.coming[wanted]}", RETRY_AFTER_S)
        if wanted in self.broken:
            raise ModelLoadError(f"model {wanted!r} cannot be loaded: {self.broken[wanted]}")
        raise UnknownModel(wanted or f"(default {self.kind} model)", self.names)

    def states(self) -> Iterator[ModelState]:
        """Every model."""
        for name, model in self.running.items():
            context: int | None = getattr(model, "context", None)
            yield ModelState(name, self.kind, model.status, model.card, model.device, model.dtype, context)
        for name, waits_for in self.coming.items():
            if name not in self.running:
                yield ModelState(name, self.kind, ModelStatus("loading", waits_for))
        for name, reason in self.broken.items():
            yield ModelState(name, self.kind, ModelStatus("failed", reason))

    def unready(self) -> list[str]:
        """Why the default model cannot answer now; empty when it can, or when there is none."""
        return [note for name, note in self.notes() if name == self.default]

    def notes(self) -> Iterator[tuple[str, str]]:
        """The models that cannot answer now, by name, and why."""
        for state in self.states():
            if state.status.state != "ready":
                kind = state.kind if state.kind == "generator" else f"{state.kind} model"
                yield state.name, f"{kind} {state.name!r} is {state.status.state}{_because(state.status)}"

    async def open(self, name: str, opening: Callable[[], AbstractAsyncContextManager[ModelT]]) -> None:
        """Have the model ``name``, which may still be loading then; it is ``broken`` if that fails."""
        try:
            held = await self._hold(name, opening)
        except Exception as error:  # noqa: BLE001 - files may hold anything, and raise as they like
            self.fail(name, error)
        else:
            self._install(name, held)

    def tell(self, name: str, waits_for: str) -> None:
        """What the model ``name``, which is coming, waits for."""
        if name in self.coming:
            self.coming[name] = waits_for

    def begin(self, name: str, opening: Callable[[], AbstractAsyncContextManager[ModelT]]) -> None:
        """``open``, without waiting for it."""
        self.coming[name] = "being fetched"
        self._tasks.create_task(self.open(name, opening), name=f"model {name}")

    async def swap_in(self, name: str, opening: Callable[[], AbstractAsyncContextManager[ModelT]]) -> ModelT:
        """Have the model ``name`` once it is loaded, in the place of one that is called so by now.

        Raises:
            Exception: what ``opening`` or the model's own loading raises; nothing has changed then.
        """
        held = await self._hold(name, opening)
        model = held.entered.result()
        try:
            await model.wait_ready()
        except BaseException:
            held.leave.set()
            raise
        before = self._held.get(name)
        self._install(name, held)
        if before is not None:
            self._tasks.create_task(before.end(), name=f"end of model {name}")
        return model

    def let_go(self, name: str) -> "asyncio.Future[None]":
        """Forget the model ``name``; done when it has ended, behind its last request."""
        for known in (self.running, self.coming, self.broken):
            known.pop(name, None)
        held = self._held.pop(name, None)
        ended = _nothing() if held is None else held.end()
        return self._tasks.create_task(ended, name=f"end of model {name}", context=Context())

    def fail(self, name: str, error: Exception) -> str:
        """Keep the reason why there is no model ``name``, and give it."""
        self.coming.pop(name, None)
        reason = reason_of(error)
        if name not in self.running:
            self.broken[name] = reason
        log.error(
            "model_not_opened", model=name, exc_info=error if _unforeseen(error) else None, reason=reason
        )
        return reason

    def close(self) -> None:
        """Let all models end, whoever uses them or waits for them."""
        for held in self._all:
            held.give_up()

    async def _hold(
        self, name: str, opening: Callable[[], AbstractAsyncContextManager[ModelT]]
    ) -> "_Held[ModelT]":
        held: _Held[ModelT] = _Held(name)
        self._all.add(held)
        held.task = self._tasks.create_task(held.hold(opening), name=f"model {name}", context=Context())
        held.task.add_done_callback(lambda _: self._all.discard(held))
        try:
            await held.entered
        except asyncio.CancelledError:
            held.give_up()
            raise
        return held

    def _install(self, name: str, held: "_Held[ModelT]") -> None:
        self.coming.pop(name, None)
        self.broken.pop(name, None)
        self._held[name] = held
        self.running[name] = held.entered.result()


class _Held(Generic[ModelT]):
    """A model that is ``entered`` by a task, which holds it until it may ``leave``."""

    def __init__(self, name: str) -> None:
        self.entered: asyncio.Future[ModelT] = asyncio.get_running_loop().create_future()
        self.leave = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._name = name

    async def hold(self, opening: Callable[[], AbstractAsyncContextManager[ModelT]]) -> None:
        try:
            async with opening() as model:
                self.entered.set_result(model)
                await self.leave.wait()
        except Exception as error:  # files may hold anything, and raise as they like
            if self.entered.done():
                log.exception("model_lost", model=self._name)
            else:
                self.entered.set_exception(error)
        finally:
            self.entered.cancel()  # of nobody who still waits

    def give_up(self) -> None:
        """Let it end now, or never come."""
        self.leave.set()
        came = self.entered.done() and not self.entered.cancelled()  # which it is with who waited for it
        if not came and self.task is not None:
            self.task.cancel()

    async def end(self) -> None:
        """Returns when it has ended, behind its last request or after ``LONGEST_LEAVE_S``."""
        try:
            async with asyncio.timeout(LONGEST_LEAVE_S):
                await self.entered.result().idle()
        except TimeoutError:
            log.warning("model_ended_in_use", model=self._name, waited_s=LONGEST_LEAVE_S)
        finally:
            self.leave.set()
        assert self.task is not None, "it is held by a task"
        await asyncio.wait([self.task])


@asynccontextmanager
async def open_registry(
    kind: Kind,
    names: Sequence[str],
    default: str | None,
    open_model: Callable[[str, Callable[[str], None]], AbstractAsyncContextManager[ModelT]],
    *,
    is_far: Callable[[str], bool] = lambda _: False,
) -> AsyncIterator[Registry[ModelT]]:
    """The models called ``names``, each as ``open_model`` opens it, which may tell what it waits for; those
    that are ``is_far`` come later.
    """
    async with owned_tasks() as tasks:
        registry: Registry[ModelT] = Registry(kind, default, tasks)
        try:
            for name in names:
                opening = partial(open_model, name, partial(registry.tell, name))
                if is_far(name):
                    registry.begin(name, opening)
                else:
                    await registry.open(name, opening)
            yield registry
        finally:
            registry.close()


async def _nothing() -> None:
    """There is none to end."""


def _because(status: ModelStatus) -> str:
    return f": {status.reason}" if status.reason else ""


def reason_of(error: Exception) -> str:
    """Why a model is not there, for people."""
    return f"its files cannot be used: {error!r}" if _unforeseen(error) else str(error)


def _unforeseen(error: Exception) -> bool:
    """Whether it takes a traceback to see what happened."""
    return not isinstance(error, EmbeddError | OSError)
