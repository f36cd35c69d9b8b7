"""Answers that a kill -9 took away are given again, and what they told of is there once."""

import time
from typing import Any

import httpx
import pytest
from real_service import Launcher, Service

DOCUMENTS = "/v1/collections/notes/documents"
WRITES: list[tuple[str, str, Any]] = [
    (
        "POST",
        f"{DOCUMENTS}?wait=true",
        {"documents": [{"id": "a", "text": "first words"}, {"text": "no id"}]},
    ),
    ("POST", DOCUMENTS, {"documents": [{"text": "as a job, and without an id"}]}),
    ("PATCH", f"{DOCUMENTS}/a", {"metadata": {"n": 1}}),
    ("POST", f"{DOCUMENTS}?wait=true", {"documents": [{"id": "a", "text": "other words", "version": 2}]}),
    ("POST", f"{DOCUMENTS}?wait=true", {"documents": [{"id": "b", "text": "not for long"}]}),
    ("POST", f"{DOCUMENTS}/delete", {"ids": ["b", "nobody"]}),
    ("POST", "/v1/collections/vectors/points", {"points": [{"id": "p", "vector": [1, 0], "version": 0}]}),
    ("DELETE", "/v1/collections/vectors/documents/p", None),
]

pytestmark = pytest.mark.thorough


def send(client: httpx.Client, number: int) -> tuple[int, Any]:
    method, path, body = WRITES[number]
    key = {"Idempotency-Key": f"write-{number}"}
    response = client.request(method, path, json=body, headers=key)
    return response.status_code, response.json()


def documents(client: httpx.Client) -> list[tuple[str, int]]:
    listed = client.get(DOCUMENTS).json()["documents"]
    return sorted((one["text"], one["version"]) for one in (text_of(client, each) for each in listed))


def text_of(client: httpx.Client, document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{DOCUMENTS}/{document['id']}", params={"include": "text"}).json()
    return found


def kill_and_start_again(launcher: Launcher, service: Service) -> Service:
    service.kill()
    again = launcher.launch(data=service.data)
    again.wait_until_ready()
    return again


def test_every_write_that_was_answered_is_answered_again_after_a_kill(services: Launcher) -> None:
    service = services.start()
    with service.client() as client:
        client.put("/v1/collections/notes", json={})
        client.put("/v1/collections/vectors", json={"dim": 2})
    answers = []
    for number in range(len(WRITES)):
        with service.client() as client:
            answers.append(send(client, number))
        service = kill_and_start_again(services, service)
    with service.client() as client:
        assert [status for status, _ in answers] == [200, 202, 200, 200, 200, 200, 200, 200]
        assert [send(client, number) for number in range(len(WRITES))] == answers
        job = answers[1][1]["job"]["id"]
        while client.get(f"/v1/jobs/{job}").json()["status"] != "finished":
            time.sleep(0.02)
        expected = [("as a job, and without an id", 1), ("no id", 1), ("other words", 3)]
        assert documents(client) == expected
        assert client.get("/v1/collections/vectors/points/count").json() == {"count": 0}
