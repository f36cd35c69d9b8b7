"""The models of one kind by name, the ones that could not be opened among them.

Invariant: whatever is wrong with one model's name or files, it keeps neither the service nor another model
from starting; it is listed with the reason and refuses its own requests.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import structlog

from embedd.errors import EmbeddError, ModelLoadError, UnknownModel
from embedd.pool import ModelStatus
from embedd.specs import GeneratorCard, ModelCard

log = structlog.get_logger()

Kind = Literal["embedding", "reranking", "generator"]


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


@dataclass(frozen=True, slots=True)
class Registry(Generic[ModelT]):
    """``running`` models, and those that are ``broken`` with the reasons; no name is in both.

    ``default`` is None if requests must name a model.
    """

    kind: Kind
    default: str | None
    running: Mapping[str, ModelT]
    broken: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """What requests may ask for."""
        return [*self.running, *self.broken]

    def get(self, name: str | None = None) -> ModelT:
        """The model called ``name``, or the default one.

        Raises:
            UnknownModel: no such model is configured.
            ModelLoadError: it is, and could not be opened.
        """
        wanted = name or self.default or ""
        if wanted in self.running:
            return self.running[wanted]
        if wanted in self.broken:
            raise ModelLoadError(f"model {wanted!r} cannot be loaded: {self.broken[wanted]}")
        raise UnknownModel(wanted or f"(default {self.kind} model)", self.names)

    def states(self) -> Iterator[ModelState]:
        """Every configured model."""
        for name, model in self.running.items():
            context: int | None = getattr(model, "context", None)
            yield ModelState(name, self.kind, model.status, model.card, model.device, model.dtype, context)
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


@asynccontextmanager
async def open_registry(
    kind: Kind,
    names: Sequence[str],
    default: str | None,
    open_model: Callable[[str], AbstractAsyncContextManager[ModelT]],
) -> AsyncIterator[Registry[ModelT]]:
    """The models called ``names``, each as ``open_model`` opens it."""
    running: dict[str, ModelT] = {}
    broken: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name in names:
            try:
                running[name] = await stack.enter_async_context(open_model(name))
            except Exception as error:  # files may hold anything, and raise as they like
                broken[name] = _reason(error)
                log.exception(
                    "model_not_opened", model=name, exc_info=_unforeseen(error), reason=broken[name]
                )
        yield Registry(kind, default, running, broken)


def _because(status: ModelStatus) -> str:
    return f": {status.reason}" if status.reason else ""


def _reason(error: Exception) -> str:
    return f"its files cannot be used: {error!r}" if _unforeseen(error) else str(error)


def _unforeseen(error: Exception) -> bool:
    """Whether it takes a traceback to see what happened."""
    return not isinstance(error, EmbeddError | OSError)
