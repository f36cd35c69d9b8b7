"""A service for each test, over the fake model, in this process, spoken to over a real socket."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import ask, client_of, docs, open_ready

from api.services.container import Services
from api.settings import Settings, load_settings

__all__ = ["ask", "docs"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data": tmp_path / "data", "model": "fake", "port": 0})


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_ready(settings) as services:
        yield services


@pytest.fixture
async def client(services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(services) as client:
        yield client
