"""A real service that answers gRPC beside HTTP: how it starts, and how it ends under load."""

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from ports import free_port
from real_service import Launcher, Service

from api.grpc.v1.embedder_pb2 import EmbedRequest, EmbedStreamRequest
from api.grpc.v1.embedder_pb2_grpc import EmbedderStub


@pytest.fixture
def service(services: Launcher) -> Service:
    return services.start("--grpc-port", str(free_port()))


@pytest.fixture
def channel(service: Service) -> Iterator[grpc.Channel]:
    (started,) = service.events("service_started")
    with grpc.insecure_channel(started["embedd.grpc"]) as channel:
        yield channel


def test_sigterm_ends_every_call_properly(service: Service, channel: grpc.Channel) -> None:
    """Streams that wait for more end, what was read is answered, and the exit status is 0."""
    embedder = EmbedderStub(channel)
    watch = HealthStub(channel).Watch(HealthCheckRequest())
    watched = [next(watch).status]
    more: Queue[EmbedStreamRequest | None] = Queue()
    stream = embedder.EmbedStream(iter(more.get, None))
    more.put(EmbedStreamRequest(batch=EmbedRequest(texts=["a"])))
    assert next(stream).batch.dim == 64
    answers: list[Any] = []
    busy = threading.Thread(target=lambda: answers.extend(calls_until_refused(embedder)))
    busy.start()
    service.signal(signal.SIGTERM)
    watched += [status.status for status in watch]
    with pytest.raises(grpc.RpcError) as ended:
        next(stream)
    more.put(None)
    busy.join(20)
    assert watched == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "shutting down" in ended.value.details()
    *answered, refused = answers
    assert set(answered) <= {grpc.StatusCode.OK}
    assert refused in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)  # by when it came
    assert service.wait() == 0


def calls_until_refused(embedder: Any) -> list[Any]:
    """The statuses of calls one after the other, the last of which was not taken any more."""
    statuses = []
    while not statuses or statuses[-1] is grpc.StatusCode.OK:
        try:
            embedder.Embed(EmbedRequest(texts=["x"] * 100), timeout=20)
        except grpc.RpcError as error:
            statuses.append(error.code())
        else:
            statuses.append(grpc.StatusCode.OK)
    return statuses


def test_a_service_whose_grpc_port_is_taken_refuses_to_start(services: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refusing = services.launch("--grpc-port", str(port))
        assert refusing.wait() == 1
    (event,) = refusing.events("service_not_started")
    assert f"127.0.0.1:{port}" in event["event.reason"]
    assert "--grpc-port" in event["event.reason"]


def test_without_a_port_nothing_of_grpc_is_loaded(services: Launcher) -> None:
    service = services.start("--grpc-port", "0")
    (started,) = service.events("service_started")
    assert started["embedd.grpc"] is None
    assert "cygrpc" not in Path(f"/proc/{service.pid}/maps").read_text("utf-8")


def test_the_example_in_the_documents_does_what_it_says(service: Service) -> None:
    text = Path(__file__).parents[2].joinpath("docs/api.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (started,) = service.events("service_started")
    example = block.replace("127.0.0.1:50051", started["embedd.grpc"])
    assert example != block
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 64) 8\n", done.stderr
