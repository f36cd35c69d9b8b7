"""GET /debug/...: nothing unless it is wanted, then what runs, waits and takes memory."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask, client_of, open_ready

from api.http.handlers.debug import _is_here
from api.settings import Settings, load_settings

PATHS = ("/debug/tasks", "/debug/queues", "/debug/memory")


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    wanted = getattr(request, "param", True)
    return load_settings({"data": tmp_path / "data", "model": "fake", "port": 0, "debug_endpoints": wanted})


@pytest.mark.parametrize("settings", [False], indirect=True)
async def test_unless_it_is_wanted_there_is_no_such_path(ask: Ask) -> None:
    for path in PATHS:
        assert (await ask("GET", path, status=404))["error"]["code"] == "route_not_found"


async def test_the_inside_is_told_without_a_text(ask: Ask, docs: str, client: TestClient[Any, Any]) -> None:
    await ask("POST", "/v1/embeddings", {"input": "spring tides"})
    tasks = (await ask("GET", "/debug/tasks"))["tasks"]
    assert all(task["name"] and task["coroutine"] for task in tasks)
    assert any(place.startswith("embedd/scheduler.py:") for task in tasks for place in task["at"])
    assert "spring" not in str(tasks).lower()

    (queue,) = (await ask("GET", "/debug/queues"))["queues"]
    assert (queue["model"], queue["kind"], queue["status"]) == ("fake", "embedding", "ready")
    assert queue["waiting_tokens"] == {"interactive": 0, "bulk": 0}
    assert len(queue["workers"]) == 1

    memory = await ask("GET", "/debug/memory")
    assert [process["role"] for process in memory["processes"]] == ["service", "fake"]
    assert memory["processes"][1]["pid"] == queue["workers"][0]
    assert all(process["resident_bytes"] > 2**20 for process in memory["processes"])
    assert [collection["name"] for collection in memory["collections"]] == [docs]


async def test_the_memory_of_every_kind_of_model_is_told(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "data": tmp_path / "data",
            "model": "fake",
            "reranker": "fake-reranker",
            "generator": "fake-llm",
            "port": 0,
            "debug_endpoints": True,
        }
    )
    async with open_ready(settings) as services, client_of(services) as client:
        await services.models.generators.get("fake-llm").wait_ready()
        response = await client.get("/debug/memory")
        roles = [process["role"] for process in (await response.json())["processes"]]
    assert roles == ["service", "fake", "fake-reranker", "fake-llm"]


@pytest.mark.parametrize(
    ("remote", "here"), [("127.0.0.1", True), ("::1", True), ("10.0.0.7", False), (None, False)]
)
def test_only_this_machine_is_told(remote: str | None, here: bool) -> None:
    assert _is_here(remote) == here
