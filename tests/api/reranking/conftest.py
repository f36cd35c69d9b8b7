"""The same with a reranking model besides the embedding one."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import client_of, open_ready

from api.services.container import Services
from api.settings import Settings, load_settings


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data = tmp_path_factory.mktemp("reranking") / "data"
    return load_settings({"data": data, "model": "fake", "reranker": "fake-reranker", "port": 0})


@pytest.fixture(scope="session")
async def shared_services(settings: Settings) -> AsyncIterator[Services]:
    async with open_ready(settings) as services:
        yield services


@pytest.fixture(scope="session")
async def shared_client(shared_services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(shared_services) as client:
        yield client
