"""Models that are added while the service runs: brought beside the others, kept over restarts, ended last."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask, client_of, open_ready
from openai import AsyncOpenAI

from api.app import open_services
from api.services.container import Services
from api.settings import Settings, load_settings
from embedd.embedder import Embedder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings({"data": tmp_path_factory.mktemp("models") / "data", "model": "fake", "port": 0})


@pytest.fixture(scope="module")
async def shared_services(settings: Settings) -> AsyncIterator[Services]:
    async with open_ready(settings) as services:
        yield services


@pytest.fixture
async def services(shared_services: Services) -> AsyncIterator[Services]:
    """Without models of its own, before and after."""
    yield shared_services
    for record in list(shared_services.registry.records()):
        if record.row is not None:
            await shared_services.registry.remove(record.name, force=True)
    for name in shared_services.catalog.names():
        await shared_services.catalog.drop(name)


@pytest.fixture(scope="module")
async def shared_client(shared_services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(shared_services) as client:
        yield client


@pytest.fixture
def client(services: Services, shared_client: TestClient[Any, Any]) -> TestClient[Any, Any]:
    return shared_client


async def settled(client: TestClient[Any, Any], name: str) -> list[str]:
    """The states of a model, as its events tell them, down to the last one."""
    response = await client.get(f"/v1/models/{name}/events")
    assert response.status == 200
    text = await response.text()
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [line.split('"status":"')[1].split('"')[0] for line in lines]


async def test_a_model_that_is_added_is_loaded_and_then_answers(
    client: TestClient[Any, Any], ask: Ask
) -> None:
    added = await ask("POST", "/v1/models", {"source": "fake", "name": "team/second"}, status=202)
    assert (added["id"], added["object"], added["status"]) == ("team/second", "model", "loading")
    assert (await settled(client, "team/second"))[-1] == "ready"
    answer = await ask("POST", "/v1/embeddings", {"input": "tide", "model": "team/second"})
    assert answer["model"] == "team/second"
    shown = await ask("GET", "/v1/models/team/second")
    assert (shown["status"], shown["enabled"], len(shown["sha256"])) == ("ready", True, 64)
    assert shown["created"] > 0
    listed = (await ask("GET", "/v1/models"))["data"]
    assert [(model["id"], model["configured"]) for model in listed[:3]] == [
        ("fake", True),
        ("extractive", True),
        ("team/second", False),
    ]


async def test_a_model_that_is_still_coming_refuses_with_a_time_to_come_back(
    client: TestClient[Any, Any], ask: Ask, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = asyncio.Event()
    wait_ready = Embedder.wait_ready

    async def wait(self: Embedder) -> None:
        await loads.wait()
        await wait_ready(self)

    monkeypatch.setattr(Embedder, "wait_ready", wait)
    await ask("POST", "/v1/models", {"source": "fake", "name": "slow"}, status=202)
    refused = await client.post("/v1/embeddings", json={"input": "tide", "model": "slow"})
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    loads.set()
    assert (await settled(client, "slow"))[-1] == "ready"


async def test_the_same_again_is_as_good_and_another_of_that_name_is_refused(
    client: TestClient[Any, Any], ask: Ask
) -> None:
    wanted = {"source": "fake", "name": "twice"}
    await ask("POST", "/v1/models", wanted, status=202)
    await settled(client, "twice")
    assert (await ask("POST", "/v1/models", wanted))["status"] == "ready"
    refused = await ask("POST", "/v1/models", wanted | {"allow_pickle": True}, status=409)
    assert (refused["error"]["code"], refused["error"]["param"]) == ("model_exists", "allow_pickle")


async def test_one_bad_model_of_several_loses_no_other(client: TestClient[Any, Any], ask: Ask) -> None:
    wanted = [
        {"source": "no such model", "name": "bad"},
        {"source": "fake", "name": "a/events"},
        {"source": "fake-reranker", "name": "wrong-kind"},
        {"source": "fake-reranker", "name": "ranks", "kind": "reranking"},
    ]
    outcomes = (await ask("POST", "/v1/models/batch", {"models": wanted}))["models"]
    assert [outcome.get("error", {}).get("param") for outcome in outcomes] == ["source", "name", None, None]
    assert (await settled(client, "wrong-kind"))[-1] == "failed"
    shown = await ask("GET", "/v1/models/wrong-kind")
    assert shown["reason"] == "model 'wrong-kind' is for reranking, not for embedding"
    assert (await settled(client, "ranks"))[-1] == "ready"
    ranked = await ask("POST", "/v1/rerank", {"query": "tide", "documents": ["moon"], "model": "ranks"})
    assert ranked["model"] == "ranks"


async def test_a_generator_can_be_added_and_asked_over_collections(
    client: TestClient[Any, Any], ask: Ask, docs: str
) -> None:
    await ask(
        "POST", "/v1/models", {"source": "extractive", "name": "quotes", "kind": "generator"}, status=202
    )
    await settled(client, "quotes")
    assert (await ask("GET", f"/v1/models/quotes@{docs}"))["kind"] == "generator"
    question = {"model": f"quotes@{docs}", "messages": [{"role": "user", "content": "Which port is it?"}]}
    assert (await ask("POST", "/v1/chat/completions", question))["model"] == f"quotes@{docs}"


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest", "https://api.openai.com/v1"])
async def test_no_upstream_is_asked_that_the_settings_do_not_allow(ask: Ask, address: str) -> None:
    wanted = {"source": f"openai:m@{address}", "name": "cloud", "kind": "generator"}
    refused = await ask("POST", "/v1/models", wanted, status=422)
    assert "allowed_upstreams" in refused["error"]["message"]


async def test_models_of_the_settings_cannot_be_changed_here(ask: Ask) -> None:
    for method, path, body in [
        ("POST", "/v1/models", {"source": "fake", "name": "fake"}),
        ("PATCH", "/v1/models/fake", {"enabled": False}),
        ("DELETE", "/v1/models/fake", None),
    ]:
        refused = await ask(method, path, body, status=409)
        assert refused["error"]["code"] == "model_configured"


async def test_what_is_not_there_is_a_404_and_removing_it_is_not(ask: Ask) -> None:
    refused = await ask("GET", "/v1/models/nobody/here", status=404)
    assert refused["error"]["code"] == "model_not_found"
    await ask("PATCH", "/v1/models/nobody/here", {"enabled": True}, status=404)
    assert await ask("DELETE", "/v1/models/nobody/here") == {"deleted": 0}


async def test_a_disabled_model_answers_nobody_until_it_is_enabled_again(
    client: TestClient[Any, Any], ask: Ask
) -> None:
    await ask("POST", "/v1/models", {"source": "fake", "name": "other", "enabled": False}, status=201)
    assert (await ask("GET", "/v1/models/other"))["status"] == "registered"
    await ask("POST", "/v1/embeddings", {"input": "tide", "model": "other"}, status=404)
    await ask("PATCH", "/v1/models/other", {"enabled": True, "description": "For notes"})
    await settled(client, "other")
    assert (await ask("GET", "/v1/models/other"))["description"] == "For notes"
    await ask("POST", "/v1/embeddings", {"input": "tide", "model": "other"})
    assert (await ask("PATCH", "/v1/models/other", {"enabled": False}))["status"] == "registered"
    await ask("POST", "/v1/embeddings", {"input": "tide", "model": "other"}, status=404)


async def test_a_model_that_made_a_collection_is_removed_by_force_alone(
    client: TestClient[Any, Any], ask: Ask
) -> None:
    await ask("POST", "/v1/models", {"source": "fake", "name": "maker"}, status=202)
    await settled(client, "maker")
    await ask("PUT", "/v1/collections/made", {"model": "maker"}, status=201)
    refused = await ask("DELETE", "/v1/models/maker", status=409)
    assert refused["error"]["code"] == "model_in_use"
    assert await ask("DELETE", "/v1/models/maker?force=true") == {"deleted": 1}
    await ask("POST", "/v1/collections/made/search", {"query": "tide", "mode": "dense"}, status=404)
    found = await ask("POST", "/v1/collections/made/search", {"query": "tide", "mode": "lexical"})
    assert found["hits"] == []


async def test_a_request_that_holds_a_model_is_finished_before_it_ends(
    client: TestClient[Any, Any], ask: Ask, services: Services
) -> None:
    await ask("POST", "/v1/models", {"source": "fake", "name": "held"}, status=202)
    await settled(client, "held")
    embedder = services.models.embedder("held")
    async with embedder._engine.request(1, None):
        removing = asyncio.create_task(services.registry.remove("held"))
        await asyncio.wait([removing], timeout=0.2)
        assert "held" not in services.models.embedders.names
        assert len((await embedder.embed(["tide"])).vectors) == 1
        assert not removing.done()
    assert await removing


async def test_added_models_are_there_again_after_a_restart_and_pinned(settings: Settings) -> None:
    again = load_settings({"data": settings.data.parent / "again", "model": "fake", "port": 0})
    async with open_services(again) as services, client_of(services) as client:
        body = {"models": [{"source": "fake", "name": name} for name in ("kept", "off")]}
        assert (await client.post("/v1/models/batch", json=body)).status == 200
        for name in ("kept", "off"):
            await settled(client, name)
        await client.patch("/v1/models/off", json={"enabled": False})
        before = services.registry.get("kept").row
    async with open_services(again) as services, client_of(services) as client:
        assert "kept" in services.models.embedders.names
        assert (await settled(client, "kept"))[-1] == "ready"
        assert services.registry.get("off").status == "registered"
        after = services.registry.get("kept").row
        assert before is not None
        assert after is not None
        assert (after.sha256, after.created_at) == (before.sha256, before.created_at)


async def test_openai_clients_find_a_model(client: TestClient[Any, Any]) -> None:
    async with AsyncOpenAI(base_url=str(client.make_url("/v1")), api_key="none") as openai:
        assert (await openai.models.retrieve("extractive")).object == "model"
        assert "fake" in [model.id async for model in openai.models.list()]
