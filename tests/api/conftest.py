"""One service for all tests, over the fake model, in this process, spoken to over a real socket.

Starting one takes longer than most of what is asked of it. Each test finds it without collections; those that
count, stop or restart something have services of their own, in tests/service.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import ask, client_of, docs, drop_all, open_ready

from api.services.container import Services
from api.settings import Settings, load_settings

__all__ = ["ask", "docs"]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Settings:
    catalog = "sqlite"
    if request.config.getoption("--catalog") == "postgres":
        catalog = f"{request.getfixturevalue('postgres').url}?schema=api"
    data = tmp_path_factory.mktemp("api") / "data"
    return load_settings({"data": data, "model": "fake", "port": 0, "catalog": catalog})


@pytest.fixture(scope="session")
async def shared_services(settings: Settings) -> AsyncIterator[Services]:
    async with open_ready(settings) as services:
        yield services


@pytest.fixture(scope="session")
async def shared_client(shared_services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(shared_services) as client:
        yield client


@pytest.fixture
async def services(shared_services: Services) -> AsyncIterator[Services]:
    """Without collections, before and after."""
    yield shared_services
    await drop_all(shared_services)


@pytest.fixture
def client(services: Services, shared_client: TestClient[Any, Any]) -> TestClient[Any, Any]:
    return shared_client
