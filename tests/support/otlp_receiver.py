"""What an OpenTelemetry collector is to a service: a real OTLP receiver on a free loopback port."""

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_WITHIN_S = 20.0


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """``resource`` has what the sender last said of itself."""

    url: str = ""
    resource: dict[str, str] = field(default_factory=dict)
    _spans: "queue.Queue[Span]" = field(default_factory=queue.Queue)

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - as generated
        for sent in request.resource_spans:
            self.resource = {one.key: one.value.string_value for one in sent.resource.attributes}
            for scope in sent.scope_spans:
                for span in scope.spans:
                    self._spans.put(span)
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, root: str) -> dict[str, Span]:
        """The next spans by their names, up to and with ``root``, which ends last."""
        spans: dict[str, Span] = {}
        while root not in spans:
            span = self._spans.get(timeout=_WITHIN_S)
            spans[span.name] = span
        return spans


@contextmanager
def open_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    receiver.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(grace=None).wait()


def attributes(span: Span) -> dict[str, Any]:
    """What a span says of itself."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}
