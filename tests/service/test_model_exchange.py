"""Other weights under the same name: they answer once they are warm, and those before them until then."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask, client_of, open_ready
from fake_models import until

from api.app import open_services
from api.services import bringing
from api.services.container import Services
from api.settings import Settings, load_settings
from index.errors import StorageFull

REAL = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data = tmp_path_factory.mktemp("exchange") / "data"
    return load_settings({"data": data, "model": "fake", "port": 0})


@pytest.fixture(scope="module")
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_ready(settings) as services:
        yield services


@pytest.fixture(scope="module")
async def client(services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(services) as client:
        yield client


@pytest.fixture
async def trial(ask: Ask, services: Services) -> AsyncIterator[str]:
    """The name of a model that was added, is ready, and is kept as such."""
    await ask("POST", "/v1/models", {"source": "fake", "name": "trial"}, status=202)
    await until(lambda: services.registry.get("trial").row.standing == "ready")
    yield "trial"
    await ask("DELETE", "/v1/models/trial?force=true")


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def settled(ask: Ask, services: Services) -> Any:
    """The model when nothing of it is under way any more."""
    await until(lambda: not services.registry.get("trial").is_under_way)
    return await ask("GET", "/v1/models/trial")


@pytest.mark.slow
async def test_other_weights_answer_once_they_are_loaded_and_no_request_is_lost(
    ask: Ask, client: TestClient[Any, Any], services: Services, trial: str
) -> None:
    await ask("PUT", "/v1/collections/old", {"model": trial}, status=201)
    refused = await ask("PUT", "/v1/models/trial", {"source": REAL}, status=409)
    assert refused["error"]["code"] == "model_in_use"
    dims: list[int] = []

    async def embed() -> None:
        while services.registry.get("trial").is_under_way or dims[-1] != 384:
            answer = await client.post("/v1/embeddings", json={"model": trial, "input": f"tide {len(dims)}"})
            assert answer.status == 200
            dims.append(len((await answer.json())["data"][0]["embedding"]))

    begun = await ask("PUT", "/v1/models/trial?force=true", {"source": REAL}, status=202)
    assert (begun["status"], begun["coming"], begun["source"]) == ("ready", "loading", REAL)
    await asyncio.gather(*(embed() for _ in range(4)))
    changes = [(before, after) for before, after in itertools.pairwise(dims) if before != after]
    assert dims[0] == 64
    assert (64, 384) in changes
    shown = await settled(ask, services)
    assert (shown["status"], "coming" in shown, shown["sha256"][:8]) == ("ready", False, "53aa5117")
    refused = await ask("POST", "/v1/collections/old/search", {"query": "tide", "mode": "dense"}, status=409)
    assert refused["error"]["code"] == "model_changed"
    await ask("DELETE", "/v1/collections/old")


async def test_weights_that_cannot_be_loaded_leave_those_that_are_there(
    ask: Ask, client: TestClient[Any, Any], services: Services, settings: Settings, trial: str
) -> None:
    before = await ask("GET", "/v1/models/trial")
    await ask("PUT", "/v1/models/trial", {"source": "fake-reranker"}, status=202)
    shown = await settled(ask, services)
    assert (shown["status"], shown["source"], shown["sha256"]) == ("ready", "fake", before["sha256"])
    assert "is for reranking, not for embedding" in shown["reason"]
    await ask("POST", "/v1/embeddings", {"model": trial, "input": "tide"})
    again = await ask("PUT", "/v1/models/trial", {}, status=202)
    assert "reason" not in again
    assert "reason" not in await settled(ask, services)


async def test_a_model_that_has_failed_is_brought_with_other_weights(ask: Ask, services: Services) -> None:
    await ask("POST", "/v1/models", {"source": "fake-reranker", "name": "trial"}, status=202)
    assert (await settled(ask, services))["status"] == "failed"
    begun = await ask("PUT", "/v1/models/trial", {"source": "fake"}, status=202)
    assert (begun["status"], "coming" in begun) == ("loading", False)
    assert (await settled(ask, services))["status"] == "ready"
    await ask("DELETE", "/v1/models/trial")


async def test_a_disabled_model_has_others_when_it_is_enabled(
    ask: Ask, services: Services, trial: str
) -> None:
    await ask("PATCH", "/v1/models/trial", {"enabled": False})
    shown = await ask("PUT", "/v1/models/trial", {"source": "fake-reranker"})
    assert (shown["status"], shown["source"]) == ("registered", "fake-reranker")
    await ask("PATCH", "/v1/models/trial", {"enabled": True})
    assert (await settled(ask, services))["status"] == "failed"


async def test_the_last_of_several_exchanges_holds(ask: Ask, services: Services, trial: str) -> None:
    for source in ("fake-reranker", "fake", "fake-reranker", "fake"):
        await ask("PUT", "/v1/models/trial", {"source": source}, status=202)
    shown = await settled(ask, services)
    assert (shown["status"], shown["source"], "reason" in shown) == ("ready", "fake", False)


async def test_what_answers_stays_if_the_last_of_several_cannot_be_loaded(
    ask: Ask, services: Services, trial: str
) -> None:
    await ask("PUT", "/v1/models/trial", {"allow_pickle": True}, status=202)
    await ask("PUT", "/v1/models/trial", {"source": "fake-reranker"}, status=202)
    shown = await settled(ask, services)
    assert (shown["status"], shown["source"], shown["allow_pickle"]) == ("ready", "fake", False)


async def test_news_in_the_midst_of_an_exchange_do_not_disturb_it(
    ask: Ask, services: Services, trial: str
) -> None:
    await ask("PUT", "/v1/models/trial", {"source": "fake-reranker"}, status=202)
    for _ in range(3):
        services.registry.follow()
        await asyncio.sleep(0)
    shown = await settled(ask, services)
    assert (shown["status"], shown["source"]) == ("ready", "fake")


async def test_weights_of_others_that_cannot_be_loaded_here_are_told_until_they_are_put_back(
    ask: Ask, client: TestClient[Any, Any], services: Services, trial: str
) -> None:
    rows: Any = services.registry._rows
    row = rows.get(trial)
    workers = services.models.embedders.get(trial).worker_pids
    rows._rows[trial] = replace(row, source="fake-reranker", sha256=None, created_at="2030-01-01T00:00:00Z")
    services.registry.follow()
    await until(lambda: services.registry.get("trial").status == "failed")
    shown = await ask("GET", "/v1/models/trial")
    assert "is for reranking, not for embedding" in shown["reason"]
    await ask("POST", "/v1/embeddings", {"model": trial, "input": "tide"})
    rows._rows[trial] = replace(row, created_at="2030-01-02T00:00:00Z")
    services.registry.follow()
    await until(lambda: services.registry.get("trial").status == "ready")
    assert services.models.embedders.get(trial).worker_pids == workers, "nothing was loaded again"


async def test_what_has_become_of_a_model_is_kept_when_the_rows_can_be_written_again(
    ask: Ask, services: Services, trial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: Any = services.registry._rows
    settle, tries = rows.settle, itertools.count()

    async def often_refused(*given: Any) -> Any:
        if next(tries) < 3:
            raise StorageFull("no room")
        return await settle(*given)

    monkeypatch.setattr(rows, "settle", often_refused)
    monkeypatch.setattr(bringing, "_PAUSES_S", (0.001,))
    await ask("PUT", "/v1/models/trial", {"allow_pickle": True}, status=202)
    await until(lambda: rows.get(trial).standing == "ready")
    assert next(tries) == 4


async def test_a_model_ends_behind_its_last_request_though_nobody_waits_for_it(
    ask: Ask, services: Services, trial: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, last = services.models.embedders.get(trial), asyncio.Event()
    (worker,) = model.worker_pids
    monkeypatch.setattr(type(model), "idle", lambda _: last.wait())
    removing = asyncio.create_task(services.registry.remove(trial))
    await until(lambda: services.registry._rows.get(trial) is None)
    await ask("POST", "/v1/models", {"source": "fake", "name": "meanwhile"}, status=202)
    removing.cancel()
    await asyncio.wait([removing])
    assert lives(worker)
    last.set()
    await until(lambda: not lives(worker))
    monkeypatch.undo()
    await ask("DELETE", "/v1/models/meanwhile")


async def test_what_cannot_be_exchanged_is_refused(ask: Ask, trial: str) -> None:
    refused = await ask("PUT", "/v1/models/nobody", {}, status=404)
    assert refused["error"]["code"] == "model_not_found"
    refused = await ask("PUT", "/v1/models/fake", {}, status=409)
    assert refused["error"]["code"] == "model_configured"
    refused = await ask("PUT", "/v1/models/trial", {"source": "no such model"}, status=422)
    assert refused["error"]["param"] == "source"
    shown = await ask("GET", "/v1/models/trial")
    assert (shown["source"], shown["status"]) == ("fake", "ready")


async def test_exchanged_weights_are_there_after_a_restart(settings: Settings) -> None:
    again = load_settings({"data": settings.data.parent / "again", "model": "none", "port": 0})
    for source in ("fake", "fake"):
        async with open_services(again) as services, client_of(services) as client:
            if not list(services.registry.records())[-1].row:
                await client.post("/v1/models", json={"source": "fake-reranker", "name": "trial"})
                await until(lambda: services.registry.get("trial").status == "failed")
                assert (await client.put("/v1/models/trial", json={"source": source})).status == 202
            await until(lambda: services.registry.get("trial").status == "ready")
