"""How tests speak to a service in their process: what a conftest takes over beside its ``client``."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from api.app import build_app, open_services
from api.services.container import Services
from api.settings import Settings

Ask = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def open_ready(settings: Settings) -> AsyncIterator[Services]:
    """Everything behind the routes, all of whose models answer."""
    async with open_services(settings) as services:
        models = services.models
        for registry in (models.embedders, models.rerankers, models.generators):
            for model in registry.running.values():
                await model.wait_ready()
        yield services


async def drop_all(services: Services) -> None:
    """Leaves no collection and no alias."""
    catalog = services.catalog
    for alias in list(catalog.aliases):
        await catalog.unassign(alias)
    for name in catalog.names():
        await catalog.drop(name)


def client_of(services: Services) -> TestClient[Any, Any]:
    """A client of a server on a free port, which its context starts and ends."""
    return TestClient(TestServer(build_app(services), handler_cancellation=True))


@pytest.fixture
def ask(client: TestClient[Any, Any]) -> Ask:
    """Send a request; get the decoded answer, whose status must be the one expected."""

    async def ask(method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        response = await client.request(method, path, json=body if body is not None else None)
        return await expect(response, status)

    return ask


async def expect(response: ClientResponse, status: int) -> Any:
    answer = await response.json()
    assert response.status == status, answer
    return answer


@pytest.fixture
async def docs(ask: Ask) -> str:
    """A collection with three short documents."""
    await ask("PUT", "/v1/collections/docs", {}, status=201)
    documents = [
        {
            "id": "kill",
            "text": "An acknowledged write survives a kill. The log is synced before the answer.",
            "title": "Durability",
            "metadata": {"lang": "en", "year": 2024},
        },
        {
            "id": "port",
            "text": "The service listens on port 8080. Change it with the port flag.",
            "title": "Ports",
            "metadata": {"lang": "en", "year": 2020},
        },
        {
            "id": "hafen",
            "text": "Der Dienst lauscht auf Port 8080.",
            "title": "Hafen",
            "metadata": {"lang": "de", "year": 2024},
        },
    ]
    await ask("POST", "/v1/collections/docs/documents?wait=true", {"documents": documents})
    return "docs"
