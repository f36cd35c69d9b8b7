"""Counts and times every request, by route and status, for Prometheus.

Knows the route that matched and nothing of what it does. Invariant: no label's value comes from a client, so
the number of series is bounded by the routes.
"""

import asyncio
import time

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CLIENT_LEFT = 499  # as nginx tells a request whose client closed the connection


class RequestMetrics:
    """The series of the edge, registered in ``registry``; ``measure`` is its middleware."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter(
            "embedd_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "embedd_http_request_seconds",
            "Time from the head of a request to the end of its answer's making, streams included",
            ["method", "route"],
            registry=registry,
            buckets=SECONDS,
        )

    @web.middleware
    async def measure(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        status = str(CLIENT_LEFT)
        try:
            response = await handler(request)
            status = str(response.status)
            return response
        finally:
            seconds = time.perf_counter() - began
            asyncio.get_running_loop().call_soon(self._add, request, status, seconds)

    def _add(self, request: web.Request, status: str, seconds: float) -> None:
        """Behind the answer, which waits for nothing that its client does not need."""
        method, route = route_of(request)
        self._count.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)


def route_of(request: web.Request) -> tuple[str, str]:
    """The method and path of the row in the route table; paths and methods of none are one."""
    resource = request.match_info.route.resource
    return ("", "none") if resource is None else (request.method, resource.canonical)
