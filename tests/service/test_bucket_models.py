"""A model out of a bucket: from the push to an answer, and over a restart without it, with other weights."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp.test_utils import TestClient
from asking import client_of
from moto.server import ThreadedMotoServer
from tiny_models import build_embedding_model

from api.app import open_services
from api.settings import load_settings
from embedd.pushing import push

SOURCE = "s3://weights/tiny"


async def add(client: TestClient[Any, Any], body: dict[str, Any]) -> Any:
    """The model as it is when it has come, or not."""
    added = await client.post("/v1/models", json=body)
    assert added.status in (200, 202)
    events = await client.get("/v1/models/tiny/events")
    assert (await events.text()).rstrip().endswith("[DONE]")
    return await (await client.get("/v1/models/tiny")).json()


async def test_a_model_out_of_a_bucket_serves_is_kept_and_is_held_against_its_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="weights")
    push(build_embedding_model(tmp_path), SOURCE, endpoint=endpoint)
    settings = load_settings(
        {"data": tmp_path / "data", "model": "none", "port": 0, "s3_endpoint": endpoint, "device": "cpu"}
    )

    async with open_services(settings) as services, client_of(services) as client:
        model = await add(client, {"source": SOURCE})
        assert model["status"] == "ready", model
        assert model["progress"]["bytes"] == model["progress"]["bytes_total"] > 10_000
        answer = await client.post("/v1/embeddings", json={"input": "the red fox", "model": "tiny"})
        assert len((await answer.json())["data"][0]["embedding"]) == 32
    server.stop()

    (weights,) = (tmp_path / "data" / "models").rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    async with open_services(settings) as services, client_of(services) as client:
        failed = await add(client, {"source": SOURCE})
        assert failed["status"] == "failed"
        assert f"pinned {model['sha256']}" in failed["reason"]
