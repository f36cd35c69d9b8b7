"""Models of our own services over gRPC: as if they were here."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient
from asking import Ask, ask, client_of, docs, expect
from fake_models import expected, open_fake, until
from own_servers import OwnServer, open_front, open_own
from real_service import open_launcher

from api.app import open_services
from api.services.container import Services
from api.settings import load_settings
from embedd.errors import InvalidInput, ModelUnavailable
from embedd.lanes import Lane

__all__ = ["ask", "docs"]


@pytest.fixture
async def services(own: OwnServer, tmp_path: Path) -> AsyncIterator[Services]:
    flags = {"model": f"far={own.url}", "reranker": f"judge={own.url}", "port": 0, "data": tmp_path / "data"}
    async with open_front(load_settings(flags)) as services:
        yield services


@pytest.fixture
async def client(services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(services) as client:
        yield client


async def test_it_is_the_same_model_as_here(services: Services, tmp_path: Path) -> None:
    far = services.models.embedder()
    texts = ["a text", "another text", *(f"number {n}" for n in range(100))]
    async with open_fake(tmp_path) as near:
        assert far.card.sha256 == near.card.sha256
        assert (far.card.dim, far.card.max_tokens) == (near.card.dim, near.card.max_tokens)
        here, there = await near.embed(texts, token_dtype="int8"), await far.embed(texts, token_dtype="int8")
        np.testing.assert_array_equal(here.vectors, there.vectors)
        assert here.token_vectors is not None
        assert there.token_vectors is not None
        np.testing.assert_array_equal(here.token_vectors.values, there.token_vectors.values)
        assert here.tokens == there.tokens
        np.testing.assert_array_equal((await far.embed([[0, 5, 6, 1]])).vectors.shape, (1, 64))
    assert (far.card.name, far.card.gives_tokens, far.device) == ("far", True, "cpu")


async def test_what_is_cut_is_told_and_remembered_here(services: Services) -> None:
    far = services.models.embedder()
    (cut,) = (await far.embed(["word " * 300])).truncated
    assert (cut.tokens, cut.kept) == (302, 256)
    with pytest.raises(InvalidInput, match="302 tokens"):
        await far.embed(["word " * 300], truncate="none")
    assert (await far.embed(["word " * 300])).cached == 1


async def test_documents_are_found_by_what_is_elsewhere(ask: Ask, docs: str) -> None:
    for rerank in (None, "late", "judge"):
        body = {"query": "which port does the service listen on", "rerank": rerank}
        found = await ask("POST", f"/v1/collections/{docs}/search", body)
        assert found["hits"][0]["document_id"] == "port"
    answer = await ask(
        "POST",
        "/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "Does an acknowledged write survive a kill?"}],
            "retrieval": {"collection": docs},
        },
    )
    assert answer["sources"][0]["document_id"] == "kill"


async def test_it_is_listed_with_where_it_is(ask: Ask, own: OwnServer) -> None:
    info = {model["name"]: model for model in (await ask("GET", "/v1/info"))["models"]}
    assert info["far"]["source"] == f"{own.url} (fake)"
    assert info["far"]["status"] == "ready"
    tokens = await ask("POST", "/v1/tokenize", {"input": "one two", "model": "far"})
    assert [token["text"] for token in tokens["data"][0]["tokens"]] == ["<s>", "one", "two", "</s>"]


async def test_a_server_that_is_killed_under_load_costs_nobody_an_answer(
    own: OwnServer, tmp_path: Path
) -> None:
    with open_launcher(tmp_path) as launcher:
        victim = open_own(launcher)
        flags = {"model": f"{own.url}|{victim.url}", "port": 0, "data": tmp_path / "data", "cache_bytes": 0}
        async with open_front(load_settings(flags)) as services:
            far = services.models.embedder()
            pool = far._engine._pool
            await until(lambda: pool.live == 2)
            texts = [f"text {n}" for n in range(1000)]
            asked = [asyncio.create_task(far.embed([text], lane=Lane.BULK)) for text in texts]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            victim.service.kill()
            rows = [(await task).vectors[0] for task in asked]
            np.testing.assert_array_equal(rows, expected(texts))
            await until(lambda: pool.live == 1)
            assert not services.readiness.reasons()


async def test_a_server_that_stops_answering_is_given_up(tmp_path: Path) -> None:
    with open_launcher(tmp_path) as launcher:
        frozen = await asyncio.to_thread(open_own, launcher)
        flags = {
            "model": f"far={frozen.url}",
            "port": 0,
            "data": tmp_path / "data",
            "upstream_timeout_s": 0.5,
        }
        async with open_front(load_settings(flags)) as services:
            far = services.models.embedder()
            frozen.service.signal(signal.SIGSTOP)
            try:
                with pytest.raises(ModelUnavailable, match=r"took more than 0\.5 s"):
                    await far.embed(["x"])
                assert "embedding model 'far' is failed" in services.readiness.reasons()[0]
            finally:
                frozen.service.signal(signal.SIGCONT)
            await until(lambda: not services.readiness.reasons())
            await far.embed(["x"])


async def test_a_service_starts_before_the_servers_of_its_models(tmp_path: Path) -> None:
    flags = {"model": "far=grpc://127.0.0.1:1", "port": 0, "data": tmp_path / "data"}
    async with open_services(load_settings(flags)) as services, client_of(services) as client:
        await until(lambda: "is not there" in services.readiness.reasons()[0])
        refused = await client.post("/v1/embeddings", json={"input": "x"})
        error = (await expect(refused, 503))["error"]
        assert error["code"] == "model_unavailable"
        assert "grpc://127.0.0.1:1 is not there" in error["message"]
        assert "Retry-After" in refused.headers
