"""Real services of our own whose models others use over gRPC."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fake_models import until
from ports import free_port
from real_service import Launcher, Service

from api.app import open_services
from api.services.container import Services
from api.settings import Settings


@dataclass(frozen=True)
class OwnServer:
    """A service, and where it hands out its models."""

    service: Service
    url: str


def open_own(launcher: Launcher, *flags: str, scheme: str = "grpc") -> OwnServer:
    """One with the fake models, which is ready."""
    port = free_port()
    more = ("--reranker", "fake-reranker", "--grpc-port", str(port), *flags)
    service = launcher.launch(*more)
    if scheme == "grpc":
        service.wait_until_ready()
    else:
        service.wait_until_started()
    return OwnServer(service, f"{scheme}://127.0.0.1:{port}")


@asynccontextmanager
async def open_front(settings: Settings) -> AsyncIterator[Services]:
    """A service in this process whose models are elsewhere, once they are there."""
    async with open_services(settings) as services:
        models = services.models
        await until(lambda: not models.embedders.coming and not models.rerankers.coming)
        yield services
