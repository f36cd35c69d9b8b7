"""Counts and times every call, by method and status, for Prometheus.

Invariant: no label's value comes from a client; calls of methods that there are not are counted nowhere.
"""

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, Histogram

from api.http.measuring import SECONDS


class CallMetrics:
    """The series of gRPC, registered in ``registry``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter("embedd_grpc_calls", "Calls answered", ["method", "status"], registry=registry)
        self._seconds = Histogram(
            "embedd_grpc_call_seconds",
            "Time from the head of a call to its status, streams included",
            ["method"],
            registry=registry,
            buckets=SECONDS,
        )

    def add(self, method: str, status: StatusCode, seconds: float) -> None:
        """A call that ended."""
        self._count.labels(method, status.name).inc()
        self._seconds.labels(method).observe(seconds)
