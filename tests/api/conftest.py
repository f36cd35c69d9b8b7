"""A whole service over the fake model, in this process, spoken to over a real socket."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from api.app import build_app, open_services
from api.services.container import Services
from api.settings import Settings, load_settings

Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data": tmp_path / "data", "model": "fake", "port": 0})


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings) as services:
        await services.models.embedder().wait_ready()
        yield services


@pytest.fixture
async def client(services: Services, aiohttp_client: AiohttpClient) -> TestClient[Any, Any]:
    return await aiohttp_client(build_app(services), server_kwargs={"handler_cancellation": True})


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
