"""Makes a span of every call, and of its parts, in the trace that its ``traceparent`` names.

Knows gRPC's names for what a span says, and nothing of who is told.

https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor
from grpc import StatusCode

from api.tracing import Tracing

FAILURES: Final = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
"""Statuses that are the server's fault; with others it has done what it should."""


@contextmanager
def following(
    tracing: Tracing, method: MethodDescriptor, metadata: Mapping[str, Any], status: Callable[[], StatusCode]
) -> Iterator[None]:
    """Around a call of ``method``, whose ``status`` is known at its end."""
    service: str = method.containing_service.full_name
    about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method.name}
    texts = {name: value for name, value in metadata.items() if isinstance(value, str)}
    with tracing.request(f"{service}/{method.name}", texts, about) as told:
        try:
            yield
        finally:
            code = status()
            told["rpc.grpc.status_code"] = code.value[0]
            if code in FAILURES:
                told["error.type"] = code.name
