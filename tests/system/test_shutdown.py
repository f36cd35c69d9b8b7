"""How services end, gently and not, and when one refuses to start."""

import json
import signal
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import pytest
from processes import Process, children_of, wait_until_gone
from real_service import Launcher, Service

NOTES = "/v1/collections/notes"
SENTENCE = "The tide comes in twice a day and goes out again. "


def documents(count: int) -> dict[str, Any]:
    return {"documents": [{"id": f"d{n}", "text": f"Number {n}. " + SENTENCE * 40} for n in range(count)]}


def create_collection(service: Service) -> None:
    with service.client() as client:
        client.put(NOTES, json={}).raise_for_status()


def stored(service: Service) -> int:
    """How many documents there are."""
    with service.client() as client:
        count: int = client.get(NOTES).json()["documents"]
        return count


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def begin_request(service: Service, path: str, body: bytes) -> tuple[socket.socket, bytes]:
    """A request of which the service has the head and a part of the body; what is left to send."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    connection.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body[:10])
    return connection, body[10:]


def answer_of(connection: socket.socket) -> tuple[int, Any]:
    """Status and body of the answer, once the service has closed the connection."""
    received = b""
    while part := connection.recv(1 << 16):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert head, "the connection was closed without an answer"
    return int(head.split()[1]), json.loads(body)


def ready(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_request_that_arrives_while_the_service_stops_is_answered_and_kept(services: Launcher) -> None:
    service = services.start()
    create_collection(service)
    body = json.dumps(documents(3)).encode()
    connection, rest = begin_request(service, f"{NOTES}/documents?wait=true", body)
    with connection:
        service.signal(signal.SIGTERM)
        wait_for(lambda: not ready(service), "readiness does not turn false")
        connection.sendall(rest)
        status, answer = answer_of(connection)
    assert status == 200, answer
    assert [one["status"] for one in answer["documents"]] == ["ready"] * 3
    assert service.wait() == 0
    assert stored(services.start(data=service.data)) == 3


def test_readiness_says_that_the_service_stops_to_who_is_connected_already(services: Launcher) -> None:
    service = services.start()
    create_collection(service)
    running, rest = begin_request(service, f"{NOTES}/search", b'{"query": "tide"}')
    with running, service.client() as client:
        assert client.get("/readyz").status_code == 200
        service.signal(signal.SIGTERM)
        wait_for(lambda: not ready(service), "readiness does not turn false")
        answer = client.get("/readyz")
        running.sendall(rest)
        assert answer_of(running)[0] == 200
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["the service is shutting down"]}
    assert answer.headers["connection"] == "close"
    assert service.wait() == 0


def test_a_long_request_is_finished_before_the_service_ends(services: Launcher) -> None:
    service = services.start()
    create_collection(service)
    with ThreadPoolExecutor() as threads, service.client() as client:
        asked = threads.submit(client.post, f"{NOTES}/documents?wait=true", json=documents(800))
        wait_for(lambda: stored(service) > 0, "nothing is written")
        service.signal(signal.SIGTERM)
        assert not asked.done(), "too fast to be interrupted: the test shows nothing"
        answer = asked.result().json()
    assert {one["status"] for one in answer["documents"]} == {"ready"}
    assert service.wait() == 0
    assert stored(services.start(data=service.data)) == 800


def test_a_request_that_outlasts_the_drain_does_not_hold_up_the_end(services: Launcher) -> None:
    service = services.start("--drain-timeout-s", "0.5")
    create_collection(service)
    connection, _ = begin_request(service, f"{NOTES}/search", b'{"query": "tide"}')
    with connection:
        assert service.stop() == 0


def test_a_second_signal_ends_at_once(services: Launcher) -> None:
    service = services.start("--drain-timeout-s", "600")
    create_collection(service)
    connection, _ = begin_request(service, f"{NOTES}/search", b'{"query": "tide"}')
    with connection:
        service.signal(signal.SIGTERM)
        wait_for(lambda: service.events("service_stopping"), "does not stop")
        service.signal(signal.SIGINT)
        assert service.wait() == 1


def test_a_job_is_parked_and_taken_up_by_the_next_service(services: Launcher) -> None:
    service = services.start()
    create_collection(service)
    with service.client() as client:
        job_id = client.post(f"{NOTES}/documents", json=documents(900)).json()["job"]["id"]
    wait_for(lambda: stored(service) > 0, "nothing is written")
    assert service.stop() == 0
    successor = services.start(data=service.data)
    assert [event["embedd.job"] for event in successor.events("job_resumed")] == [job_id]
    with successor.client() as client:
        wait_for(lambda: client.get(f"/v1/jobs/{job_id}").json()["status"] == "finished", "does not finish")
        job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["total"], job["done"], job["failed"]) == (900, 900, 0)
    assert stored(successor) == 900


def refusal(service: Service) -> str:
    """The log of a service that does not start; its exit status is 1."""
    assert service.wait() == 1, service.log_tail()
    assert not service.events("service_started")
    refusals = service.events("service_not_started")
    assert refusals, service.log_tail()
    return refusals[0]["event.reason"]


def test_a_second_service_on_the_same_data_folder_refuses_to_start(services: Launcher) -> None:
    first = services.start()
    create_collection(first)
    assert str(first.data) in refusal(services.launch(data=first.data))
    assert stored(first) == 0


def test_the_data_folder_is_free_again_after_a_kill(services: Launcher) -> None:
    service = services.start()
    service.kill()
    assert services.start(data=service.data).stop() == 0


def test_a_service_whose_model_is_not_there_starts_and_says_so(services: Launcher) -> None:
    service = services.launch(model="no-such-model")
    service.wait_until_started()
    with service.client() as client:
        assert client.get("/healthz").status_code == 200
        readiness = client.get("/readyz")
        assert client.put("/v1/collections/own", json={"dim": 2}).status_code == 201
    assert readiness.status_code == 503
    assert "no model 'no-such-model'" in readiness.json()["reasons"][0]
    assert service.stop() == 0


def test_a_service_whose_port_is_taken_refuses_to_start(services: Launcher) -> None:
    first = services.start()
    reason = refusal(services.launch(port=first.port))
    assert str(first.port) in reason
    assert "in use" in reason


def test_data_of_a_newer_version_is_refused_and_left_alone(services: Launcher) -> None:
    service = services.start()
    create_collection(service)
    assert service.stop() == 0
    truth = service.data / "collections/notes/truth.db"
    with closing(sqlite3.connect(truth)) as connection:
        known = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {known + 1}")
    before = truth.read_bytes()
    reason = refusal(services.launch(data=service.data))
    assert str(truth) in reason
    assert str(known + 1) in reason
    assert truth.read_bytes() == before


@pytest.fixture
def family(services: Launcher) -> tuple[Service, list[Process]]:
    """A service with a model worker and a document parser."""
    service = services.start()
    create_collection(service)
    page = {"text": "<h1>Tides</h1><p>They come and go.</p>", "format": "html"}
    with service.client() as client:
        client.post(f"{NOTES}/documents?wait=true", json={"documents": [page]}).raise_for_status()
    children = children_of(service.pid)
    modules = [child.command.split(" -m ")[1].split()[0] for child in children]
    assert modules == ["embedd.worker", "api.services.extraction"]
    return service, children


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_worker_and_parser_end_with_the_service(
    family: tuple[Service, list[Process]], number: signal.Signals
) -> None:
    service, children = family
    service.signal(number)
    service.wait()
    wait_until_gone(children)
