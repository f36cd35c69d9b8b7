"""One service for all tests of gRPC: the fake embedding model, a fake language model and others beside it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import ask, client_of, docs, drop_all, open_ready
from grpc_calls import Caller, serving

from api.grpc.server import GrpcServer
from api.services.container import Services
from api.settings import load_settings

__all__ = ["ask", "docs"]


@pytest.fixture(scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    flags = {"generator": "fake-llm", "generators": "extractive, repeats=fake", "model": "fake", "port": 0}
    data = tmp_path_factory.mktemp("grpc") / "data"
    async with open_ready(load_settings({"data": data, **flags, "max_json_bytes": 2**20})) as services:
        yield services


@pytest.fixture(scope="session")
async def served(shared: Services) -> AsyncIterator[tuple[GrpcServer, Caller]]:
    async with serving(shared) as opened:
        yield opened


@pytest.fixture(scope="session")
async def shared_client(shared: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(shared) as client:
        yield client


@pytest.fixture
async def services(shared: Services) -> AsyncIterator[Services]:
    """Without collections, before and after."""
    yield shared
    await drop_all(shared)


@pytest.fixture
def client(services: Services, shared_client: TestClient[Any, Any]) -> TestClient[Any, Any]:
    """HTTP, to compare with."""
    return shared_client


@pytest.fixture
def caller(services: Services, served: tuple[GrpcServer, Caller]) -> Caller:
    return served[1]


@pytest.fixture
def address(services: Services, served: tuple[GrpcServer, Caller]) -> str:
    return served[0].address
