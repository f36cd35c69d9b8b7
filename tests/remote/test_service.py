"""A whole service over models at servers of others: documents, searches, answers, models that are added."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask, ask, client_of, docs, expect
from fake_models import until
from model_servers import ModelServer, open_infinity, open_tei
from own_servers import open_front

from api.services.container import Services
from api.settings import load_settings

__all__ = ["ask", "docs"]


@pytest.fixture
async def tei() -> AsyncIterator[ModelServer]:
    async with open_tei() as server:
        yield server


@pytest.fixture
async def judge() -> AsyncIterator[ModelServer]:
    async with open_infinity(kind="reranking") as server:
        yield server


def flags_of(tei: ModelServer, judge: ModelServer, data: Path) -> dict[str, Any]:
    return {
        "model": f"far={tei.url}",
        "reranker": f"judge={judge.url}#max_tokens=64",
        "port": 0,
        "data": data,
        "allowed_upstreams": f"{tei.url},{judge.url}",
    }


@pytest.fixture
async def services(tei: ModelServer, judge: ModelServer, tmp_path: Path) -> AsyncIterator[Services]:
    async with open_front(load_settings(flags_of(tei, judge, tmp_path / "data"))) as services:
        yield services


@pytest.fixture
async def client(services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(services) as client:
        yield client


async def test_documents_are_cut_to_what_the_server_reads_and_found(
    ask: Ask, docs: str, tei: ModelServer
) -> None:
    words = [f"word{number} stands here." for number in range(200)]
    text = " ".join([*words[:100], "The ferry leaves at nine.", *words[100:]])
    sent = {"documents": [{"id": "long", "text": text, "title": "A long one"}]}
    (outcome,) = (await ask("POST", f"/v1/collections/{docs}/documents?wait=true", sent))["documents"]
    assert (outcome["status"], outcome["passages"] > 10) == ("ready", True)
    assert not [body for body in tei.of("/embed") if body["truncate"]]
    for mode, query in (
        ("dense", text[:60]),
        ("hybrid", text[:60]),
        ("lexical", "when does the ferry leave"),
    ):
        body = {"query": query, "mode": mode}
        found = await ask("POST", f"/v1/collections/{docs}/search", body)
        assert found["hits"][0]["document_id"] == "long", mode
    judged = await ask(
        "POST", f"/v1/collections/{docs}/search", {"query": "ferry leaves nine", "rerank": "judge"}
    )
    assert "rerank" in judged["hits"][0]["scores"]


async def test_answers_quote_without_vectors_of_tokens(ask: Ask, docs: str) -> None:
    answer = await ask(
        "POST",
        "/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "Does an acknowledged write survive a kill?"}],
            "retrieval": {"collection": docs},
        },
    )
    assert answer["sources"][0]["document_id"] == "kill"


async def test_what_needs_vectors_of_tokens_is_refused(ask: Ask, docs: str) -> None:
    late = {"query": "which port", "rerank": "late"}
    refused = await ask("POST", f"/v1/collections/{docs}/search", late, status=422)
    assert refused["error"]["code"] == "no_token_vectors"
    refused = await ask("PUT", "/v1/collections/new", {"token_vectors": "2bit"}, status=422)
    assert refused["error"]["code"] == "no_token_vectors"
    ranking = {"query": "x", "documents": ["y"], "model": "far"}
    assert (await ask("POST", "/v1/rerank", ranking, status=422))["error"]["code"] == "no_token_vectors"


async def test_tokens_are_the_servers(ask: Ask) -> None:
    answer = await ask("POST", "/v1/tokenize", {"input": "one two", "model": "far"})
    assert [token["text"] for token in answer["data"][0]["tokens"]] == ["<s>", "one", "two", "</s>"]
    answer = await ask("POST", "/v1/detokenize", {"ids": [1, 2], "model": "far"})
    assert answer["texts"] == ["decoded words"]


async def test_another_model_behind_the_address_is_noticed_after_a_restart(
    tei: ModelServer, judge: ModelServer, tmp_path: Path
) -> None:
    settings = load_settings(flags_of(tei, judge, tmp_path / "data"))
    async with open_front(settings) as services, client_of(services) as client:
        await expect(await client.put("/v1/collections/docs", json={}), 201)
    tei.model = "org/another"
    async with open_front(settings) as services, client_of(services) as client:
        refused = await client.post("/v1/collections/docs/search", json={"query": "x"})
        assert (await expect(refused, 409))["error"]["code"] == "model_changed"


async def test_a_model_elsewhere_is_added_while_others_serve(
    ask: Ask, services: Services, tei: ModelServer
) -> None:
    await ask("POST", "/v1/models", {"source": tei.url, "name": "added"}, status=202)
    await until(lambda: "added" in services.models.embedders.running)
    embedded = await ask("POST", "/v1/embeddings", {"input": "x", "model": "added"})
    assert len(embedded["data"][0]["embedding"]) == 64
    listed = await ask("GET", "/v1/models/added")
    assert (listed["status"], listed["revision"]) == ("ready", "abc123")


async def test_a_model_that_is_added_may_be_only_where_it_is_allowed(ask: Ask) -> None:
    wanted = {"source": "grpc://10.0.0.7:50051", "name": "added"}
    error = (await ask("POST", "/v1/models", wanted, status=422))["error"]
    assert error["param"] == "source"
    assert "allowed_upstreams" in error["message"]


async def test_a_model_that_is_added_and_not_there_says_what_it_waits_for(
    ask: Ask, services: Services, judge: ModelServer
) -> None:
    await judge.stop()
    await ask("POST", "/v1/models", {"source": f"{judge.url}#max_tokens=64", "name": "added"}, status=202)
    await until(lambda: "cannot be reached" in services.registry.get("added").reason)
    listed = await ask("GET", "/v1/models/added")
    assert listed["status"] == "loading"
    assert judge.url in listed["reason"]
    await ask("DELETE", "/v1/models/added")


async def test_one_that_has_something_else_fails_and_says_so(
    ask: Ask, services: Services, tei: ModelServer
) -> None:
    await ask("POST", "/v1/models", {"source": tei.url, "name": "added", "kind": "reranking"}, status=202)
    await until(lambda: services.registry.get("added").status == "failed")
    listed = await ask("GET", "/v1/models/added")
    assert "for embedding, not for reranking" in listed["reason"]


async def test_metrics_tell_of_models_elsewhere(client: TestClient[Any, Any], ask: Ask) -> None:
    await ask("POST", "/v1/embeddings", {"input": ["a", "b"]})
    scraped = await (await client.get("/metrics")).text()
    assert 'embedd_workers_live{model="far"} 1.0' in scraped
