"""Where the time of one request went, for whoever traces it: stages, searches, answers.

Whoever does the work says what it was and how long it took; the request's ``Trace`` makes spans of it. It is
found through a context variable, so that nothing has to be handed down, and where nobody traces that look-up
is all it costs. What a span says of itself are names and counts, never texts.

What it does not know: OpenTelemetry. ``api.otlp`` does, and is imported only by who wants traces sent.
"""

import importlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

from api.settings import Settings

T = TypeVar("T")
Attribute = str | int | float | bool
Attributes = dict[str, Attribute]

_NANOSECONDS = 1_000_000_000


class Trace(Protocol):
    """The trace of the request that is served."""

    def add(self, name: str, began_ns: int, ended_ns: int, attributes: Mapping[str, Attribute]) -> None:
        """A part of the request is over. Times are those of ``time.time_ns``; it failed if there is an
        ``error.type``.
        """

    def headers(self) -> Mapping[str, str]:
        """W3C Trace Context for requests to others that are part of this one."""


class Tracing(Protocol):
    """What makes a ``Trace`` of each request, over HTTP or another protocol."""

    def request(
        self, name: str, carrier: Mapping[str, str], attributes: Mapping[str, Attribute]
    ) -> AbstractContextManager[Attributes]:
        """Around a request that came with the headers ``carrier``, whose trace it goes on. What is put into
        the given attributes is told at its end. Inside it ``part`` and its like reach its trace, and every
        log line carries ``trace.id`` and ``span.id``.
        """

    def sample(self, ratio: float) -> None:
        """From now on, tell this share of the requests whose callers say nothing about it."""


_TRACE: ContextVar[Trace | None] = ContextVar("trace", default=None)


@contextmanager
def tracing_as(trace: Trace) -> Iterator[None]:
    """Inside, parts are told to ``trace``."""
    before = _TRACE.set(trace)
    try:
        yield
    finally:
        _TRACE.reset(before)


@contextmanager
def part(name: str, attributes: Mapping[str, Attribute]) -> Iterator[Attributes]:
    """A part of the request; more can be said of it by way of the given attributes."""
    trace, told = _TRACE.get(), dict(attributes)
    if trace is None:
        yield told
        return
    began = time.time_ns()
    try:
        yield told
    except Exception as error:
        told["error.type"] = type(error).__qualname__
        raise
    finally:
        trace.add(name, began, time.time_ns(), told)


def following(
    events: AsyncGenerator[T, None], name: str, attributes: Mapping[str, Attribute]
) -> AsyncGenerator[T, None]:
    """``events``, which are a part of the request from the first to the last."""
    return events if _TRACE.get() is None else _followed(events, name, attributes)


async def _followed(
    events: AsyncGenerator[T, None], name: str, attributes: Mapping[str, Attribute]
) -> AsyncGenerator[T, None]:
    with part(name, attributes):
        async with aclosing(events):
            async for event in events:
                yield event


def add_stage(model: str, stage: str, seconds: float, ago_s: float) -> None:
    """``model`` was done with a stage of the request ``ago_s`` ago, and had taken that long."""
    trace = _TRACE.get()
    if trace is not None:
        ended = time.time_ns() - round(ago_s * _NANOSECONDS)
        trace.add(f"model.{stage}", ended - round(seconds * _NANOSECONDS), ended, {"embedd.model": model})


def outgoing_headers() -> Mapping[str, str]:
    """What a request to another service carries, so that its spans are part of the same trace."""
    trace = _TRACE.get()
    return {} if trace is None else trace.headers()


@asynccontextmanager
async def open_tracing(settings: Settings) -> AsyncIterator[Tracing | None]:
    """Sends traces to ``otlp_endpoint``; nothing of OpenTelemetry is imported where there is none.

    Raises:
        SettingsError: the extra ``otel`` is not installed.
    """
    if settings.otlp_endpoint is None:
        yield None
        return
    otlp = importlib.import_module("api.otlp")
    async with otlp.open_otlp_tracing(settings.otlp_endpoint, settings.otlp_sample_ratio) as tracing:
        yield tracing
