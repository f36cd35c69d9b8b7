"""grpc.health.v1: whether each service can answer, for probes and for clients that balance their load.

The empty name is the whole service, as /readyz tells it.
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

from api.errors import NotFound
from api.grpc.calls import Call
from api.services.container import Services

NAMES = ("", "embedd.v1.Embedder", "embedd.v1.Index", "embedd.v1.Inferencer", "embedd.v1.Worker")

_OF_MODELS = ("", "embedd.v1.Embedder", "embedd.v1.Worker")

_LOOK_EVERY_S = 0.25


def names_of(services: Services) -> tuple[str, ...]:
    """What there is here; "" is the whole."""
    return NAMES if services.settings.role == "all" else _OF_MODELS


async def check(request: HealthCheckRequest, call: Call) -> HealthCheckResponse:
    """How a service is now."""
    if request.service not in names_of(call.services):
        raise NotFound(f"there is no service {request.service!r} here", code="service_unknown")
    return HealthCheckResponse(status=_status(call.services, request.service))


async def list_all(request: HealthListRequest, call: Call) -> HealthListResponse:  # noqa: ARG001 - it is empty
    """How all of them are."""
    services = call.services
    statuses = {name: HealthCheckResponse(status=_status(services, name)) for name in names_of(services)}
    return HealthListResponse(statuses=statuses)


async def watch(request: HealthCheckRequest, call: Call) -> AsyncGenerator[HealthCheckResponse, None]:
    """How a service is, and how it is whenever that changes; the last word is that it closes."""
    told = None
    while True:
        is_closing = call.closing.is_set()
        status = _status(call.services, request.service)
        if status != told:
            yield HealthCheckResponse(status=status)
            told = status
        if is_closing:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(call.closing.wait(), _LOOK_EVERY_S)


def _status(services: Services, name: str) -> HealthCheckResponse.ServingStatus:
    if name not in names_of(services):
        return HealthCheckResponse.SERVICE_UNKNOWN
    return HealthCheckResponse.SERVING if _serves(services, name) else HealthCheckResponse.NOT_SERVING


def _serves(services: Services, name: str) -> bool:
    """Searches by vector and by words, and other generators, need no embedding model."""
    if services.readiness.is_closing:
        return False
    if name == "embedd.v1.Index":
        return True
    if name == "embedd.v1.Inferencer":
        return not services.models.generators.unready()
    return not services.readiness.reasons()
