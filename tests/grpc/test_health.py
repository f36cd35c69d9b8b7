"""Health by readiness, reflection, and the tools that live by them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import StatusCode
from grpc_calls import LOOPBACK, Caller, alone, open_caller, refused
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from api.grpc.server import open_server
from api.services.container import Services
from api.services.readiness import Readiness

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
SERVICES = ["", "embedd.v1.Embedder", "embedd.v1.Index", "embedd.v1.Inferencer", "embedd.v1.Worker"]
BUF = str(Path(sys.executable).with_name("buf"))


async def test_each_service_tells_how_it_is(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    health = HealthStub(caller.channel)
    statuses = (await health.List(HealthListRequest())).statuses
    assert {name: one.status for name, one in statuses.items()} == dict.fromkeys(SERVICES, SERVING)
    monkeypatch.setattr(Readiness, "reasons", lambda _: ["the model is loading"])
    found = [(await health.Check(HealthCheckRequest(service=name))).status for name in SERVICES]
    assert found == [NOT_SERVING, NOT_SERVING, SERVING, SERVING, NOT_SERVING], (
        "searches by words need no model"
    )
    refusal = await refused(health.Check(HealthCheckRequest(service="none.such")))
    assert refusal.code is StatusCode.NOT_FOUND


async def test_who_watches_hears_of_every_change_and_of_the_end(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(monkeypatch)
    reasons: list[str] = []
    monkeypatch.setattr(Readiness, "reasons", lambda _: reasons)
    async with open_server(services, LOOPBACK, 0) as server, open_caller(server.address) as caller:
        health = HealthStub(caller.channel)
        watch = health.Watch(HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        reasons.append("the model is loading")
        assert (await watch.read()).status == NOT_SERVING
        reasons.clear()
        assert (await watch.read()).status == SERVING
        reasons.append("the service is shutting down")
        await server.stop(20.0)
        assert (await watch.read()).status == NOT_SERVING
        assert await watch.code() is StatusCode.OK


@pytest.mark.parametrize("service", [*SERVICES[1:], "grpc.health.v1.Health"])
async def test_reflection_describes_every_service(address: str, service: str) -> None:
    described = await _in_thread(_methods, address, service)
    assert described["services"] >= {*SERVICES[1:], "grpc.health.v1.Health"}
    assert described["methods"]


async def test_buf_calls_what_reflection_tells_it(address: str) -> None:
    """As grpcurl would."""
    answer = await _in_thread(_curl, address, "embedd.v1.Embedder/Tokenize", {"texts": ["The moon"]})
    assert [one["text"] for one in answer["texts"][0]["tokens"]][1:3] == ["The", "moon"]
    health = await _in_thread(_curl, address, "grpc.health.v1.Health/Check", {})
    assert health == {"status": "SERVING"}


async def _in_thread(work: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments)


def _methods(address: str, service: str) -> dict[str, Any]:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        found = DescriptorPool(database).FindServiceByName(service)
        return {"services": set(database.get_services()), "methods": [one.name for one in found.methods]}


def _curl(address: str, method: str, body: dict[str, Any]) -> Any:
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data", json.dumps(body)]
    done = subprocess.run(
        [*command, f"http://{address}/{method}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
