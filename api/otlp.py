"""Traces as OpenTelemetry makes and sends them (OTLP over gRPC); imported only where they are wanted.

A request is one server span; its parts are spans below it that are made when they are over, with the times
they had. Spans wait in a bounded queue, which a thread empties: an absent collector costs spans and a log
line now and then, never a request. How they are sent beyond the endpoint (headers, certificates, batches) is
read by OpenTelemetry from its own OTEL_* variables.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

import asyncio
import importlib.metadata
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from structlog.contextvars import bound_contextvars

from api.settings import SettingsError
from api.tracing import Attribute, Attributes, tracing_as

try:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Tracer, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
    from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise SettingsError("otlp_endpoint needs the extra 'otel': pip install 'embedd[otel]'") from error

_EXPORT_TIMEOUT_S = 5.0
_END_WITHIN_S = 1.5
"""For the last spans: an absent collector must not make the end of the service late."""

_CONTEXT = TraceContextTextMapPropagator()


class OtlpTrace:
    """The trace of one request, whose own span is ``root``."""

    def __init__(self, tracer: Tracer, root: Span) -> None:
        self._tracer = tracer
        self._recording = root.is_recording()
        self._below = set_span_in_context(root, Context())

    def add(self, name: str, began_ns: int, ended_ns: int, attributes: Mapping[str, Attribute]) -> None:
        if self._recording:
            span = self._tracer.start_span(name, self._below, attributes=attributes, start_time=began_ns)
            _mark(span, attributes)
            span.end(ended_ns)

    def headers(self) -> Mapping[str, str]:
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier, self._below)
        return carrier


class OtlpTracing:
    """Made by ``open_otlp_tracing``."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def request(
        self, name: str, carrier: Mapping[str, str], attributes: Mapping[str, Attribute]
    ) -> Iterator[Attributes]:
        parent = _CONTEXT.extract(carrier, Context())
        root = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        told: Attributes = {}
        try:
            with tracing_as(OtlpTrace(self._tracer, root)), bound_contextvars(**_ids(root)):
                yield told
        finally:
            root.set_attributes(told)
            _mark(root, told)
            root.end()

    def sample(self, ratio: float) -> None:
        self._tracer.sampler = _sampler(ratio)


@asynccontextmanager
async def open_otlp_tracing(endpoint: str, ratio: float) -> AsyncIterator[OtlpTracing]:
    """Sends ``ratio`` of the traces that begin here, and those that callers have begun and chosen, to
    ``endpoint`` (http:// or https://); what waits at the end is sent within two seconds or lost.
    """
    version = importlib.metadata.version("embedd")
    resource = Resource.create(
        {"service.name": "embedd", "service.version": version, "service.instance.id": socket.gethostname()}
    )
    provider = TracerProvider(sampler=_sampler(ratio), resource=resource, shutdown_on_exit=False)
    exporter = await asyncio.to_thread(OTLPSpanExporter, endpoint=endpoint, timeout=_EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("embedd", version)
    assert isinstance(tracer, Tracer), "a provider of the SDK makes its own"
    try:
        yield OtlpTracing(tracer)
    finally:
        await asyncio.to_thread(_end, provider)


def _sampler(ratio: float) -> Sampler:
    """Callers that choose are followed."""
    return ParentBased(TraceIdRatioBased(ratio))


def _end(provider: TracerProvider) -> None:
    ending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
    ending.start()
    ending.join(_END_WITHIN_S)


def _ids(span: Span) -> dict[str, str]:
    """The span's ids as log lines carry them, in hexadecimal."""
    context = span.get_span_context()
    return {"trace.id": f"{context.trace_id:032x}", "span.id": f"{context.span_id:016x}"}


def _mark(span: Span, attributes: Mapping[str, Attribute]) -> None:
    if "error.type" in attributes:
        span.set_status(StatusCode.ERROR)
