"""A service of models alone: it embeds, reranks and tokenizes for others, and keeps nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask, ask, client_of, open_ready
from grpc import StatusCode
from grpc_calls import Caller, refused, serving
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from own_servers import open_front

from api.grpc.server import GrpcServer
from api.grpc.v1.embedder_pb2 import EmbedRequest
from api.grpc.v1.index_pb2 import SearchRequest
from api.grpc.v1.inferencer_pb2 import ListModelsRequest
from api.http.routes import ROUTES
from api.roles import routes_of
from api.security.gate import ExposedWithoutKeysError
from api.services.container import Services
from api.settings import load_settings

__all__ = ["ask"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def services(folder: Path) -> AsyncIterator[Services]:
    flags = {"role": "models", "model": "fake", "reranker": "fake-reranker", "port": 0, "data": folder}
    async with open_ready(load_settings(flags)) as services:
        yield services


@pytest.fixture
async def client(services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(services) as client:
        yield client


@pytest.fixture
async def served(services: Services) -> AsyncIterator[tuple[GrpcServer, Caller]]:
    async with serving(services) as opened:
        yield opened


async def test_it_does_what_models_do_and_nothing_else(
    ask: Ask, client: TestClient[Any, Any], folder: Path
) -> None:
    assert len((await ask("POST", "/v1/embeddings", {"input": ["a", "b"]}))["data"]) == 2
    ranked = await ask("POST", "/v1/rerank", {"query": "red fox", "documents": ["hen", "red fox"]})
    assert ranked["results"][0]["index"] == 1
    assert (await ask("POST", "/v1/tokenize", {"input": "one two"}))["data"][0]["count"] == 4
    assert (await ask("GET", "/readyz"))["ready"]
    assert (await ask("GET", "/info"))["model_id"] == "fake"
    paths = (await ask("GET", "/openapi.json"))["paths"]
    assert "/v1/embeddings" in paths
    assert not [path for path in paths if "collections" in path or "chat" in path or "keys" in path]
    for method, path in (("GET", "/v1/collections"), ("POST", "/v1/chat/completions"), ("GET", "/")):
        assert (await client.request(method, path)).status in (404, 405), path
    assert not list(folder.parent.glob("data*")), "it keeps nothing"


def test_every_route_of_models_is_one_of_the_table() -> None:
    own = routes_of(load_settings({"role": "models"}))
    assert set(own) <= set(ROUTES)
    assert len(own) == 26
    assert routes_of(load_settings({})) == ROUTES


async def test_over_grpc_it_embeds_and_hands_out_its_models(
    served: tuple[GrpcServer, Caller], tmp_path: Path
) -> None:
    server, caller = served
    assert (await caller.embedder.Embed(EmbedRequest(texts=["a"]))).dim == 64
    for call in (
        caller.index.Search(SearchRequest(collection="c", query="x")),
        caller.inferencer.ListModels(ListModelsRequest()),
    ):
        assert (await refused(call)).code is StatusCode.UNIMPLEMENTED
    health = HealthStub(caller.channel)
    assert set((await health.List(HealthListRequest())).statuses) == {
        "",
        "embedd.v1.Embedder",
        "embedd.v1.Worker",
    }
    unknown = await refused(health.Check(HealthCheckRequest(service="embedd.v1.Index")))
    assert unknown.code is StatusCode.NOT_FOUND
    flags = {"model": f"far=grpc://{server.address}", "port": 0, "data": tmp_path / "front"}
    async with open_front(load_settings(flags)) as front:
        assert (await front.models.embedder().embed(["x"])).vectors.shape == (1, 64)


async def test_it_locks_no_folder(services: Services, folder: Path) -> None:
    async with open_ready(load_settings({"model": "none", "port": 0, "data": folder})) as other:
        assert other.catalog.names() == []


async def test_strangers_are_kept_out_by_what_such_a_service_has(folder: Path) -> None:
    flags = {"role": "models", "model": "none", "host": "0.0.0.0", "data": folder}
    with pytest.raises(ExposedWithoutKeysError, match="admin_key_file"):
        async with open_ready(load_settings(flags)):
            pass
