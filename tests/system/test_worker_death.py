"""The model's worker dies: the service tells, answers, and gets a new one."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import httpx
import pytest
from real_service import Launcher, Service

AGAIN_WITHIN_S = 20.0


@pytest.fixture
def loaded(services: Launcher) -> Service:
    """A service with a collection of two documents."""
    service = services.start()
    with service.client() as client:
        client.put("/v1/collections/docs", json={}).raise_for_status()
        documents = [{"id": "a", "text": "Blue whales sing."}, {"id": "b", "text": "Ants carry leaves."}]
        answer = client.post("/v1/collections/docs/documents?wait=true", json={"documents": documents})
        answer.raise_for_status()
    return service


def worker_pids(service: Service) -> list[int]:
    """Children of the service that run a model."""
    children = f"/proc/{service.pid}/task/{service.pid}/children"
    with open(children) as file:  # noqa: PTH123 - a pseudo-file of the kernel
        pids = [int(pid) for pid in file.read().split()]
    return [pid for pid in pids if "embedd.worker" in command_line(pid)]


def command_line(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123
        return file.read()


def wait_for(client: httpx.Client, *, ready: bool) -> dict[str, Any]:
    until = time.monotonic() + AGAIN_WITHIN_S
    while time.monotonic() < until:
        answer: dict[str, Any] = client.get("/readyz").json()
        if answer["ready"] is ready:
            return answer
        time.sleep(0.005)
    raise AssertionError(f"/readyz never said ready={ready}")


def test_readiness_turns_false_with_a_reason_and_true_again(loaded: Service) -> None:
    with loaded.client() as client:
        (worker,) = worker_pids(loaded)
        os.kill(worker, signal.SIGKILL)
        assert "fake" in wait_for(client, ready=False)["reasons"][0]
        wait_for(client, ready=True)
    assert worker_pids(loaded) != [worker]


def test_search_by_vector_and_by_words_answers_without_a_model(loaded: Service) -> None:
    with loaded.client() as client:
        vector = client.post("/v1/embeddings", json={"input": "whales"}).json()["data"][0]["embedding"]
        (worker,) = worker_pids(loaded)
        os.kill(worker, signal.SIGSTOP)  # it hangs: nothing that needs it can be answered
        try:
            by_vector = client.post("/v1/collections/docs/search", json={"vector": vector})
            by_words = client.post("/v1/collections/docs/search", json={"query": "leaves", "mode": "lexical"})
        finally:
            os.kill(worker, signal.SIGCONT)
    assert by_vector.json()["hits"][0]["document_id"] == "a"
    assert by_words.json()["hits"][0]["document_id"] == "b"


def test_a_request_in_flight_is_answered_after_a_retry(loaded: Service) -> None:
    (worker,) = worker_pids(loaded)
    os.kill(worker, signal.SIGSTOP)  # so that the request is surely in its hands
    with loaded.client() as client, ThreadPoolExecutor(1) as threads:
        pending = threads.submit(client.post, "/v1/embeddings", json={"input": "held"})
        with loaded.client() as other:  # a round trip behind it: the first one has been read
            other.get("/healthz")
        os.kill(worker, signal.SIGKILL)
        answer = pending.result(timeout=AGAIN_WITHIN_S)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"][0]["embedding"]) == 64


def test_nobody_is_left_without_an_answer_while_workers_die(loaded: Service) -> None:
    over = Event()

    def embed(number: int) -> list[httpx.Response]:
        answers = []
        with loaded.client() as client:
            while not over.is_set():
                answers.append(client.post("/v1/embeddings", json={"input": f"text {number}"}))
        return answers

    with ThreadPoolExecutor(4) as threads, loaded.client() as client:
        crowd = [threads.submit(embed, number) for number in range(4)]
        for _ in range(3):
            (worker,) = worker_pids(loaded)
            os.kill(worker, signal.SIGKILL)
            wait_for(client, ready=False)
            wait_for(client, ready=True)
        over.set()
        answers = [answer for asked in crowd for answer in asked.result()]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) < len(answers)
    for answer in refused:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "model_unavailable"


def test_a_job_finishes_whatever_happens_to_the_worker(loaded: Service) -> None:
    documents = [{"id": f"j{n}", "text": f"Number {n}. " + "The tide comes in. " * 300} for n in range(300)]
    with loaded.client() as client:
        accepted = client.post("/v1/collections/docs/documents", json={"documents": documents})
        job = f"/v1/jobs/{accepted.json()['job']['id']}"
        for _ in range(2):
            (worker,) = worker_pids(loaded)
            os.kill(worker, signal.SIGKILL)
            wait_for(client, ready=False)
            wait_for(client, ready=True)
        until = time.monotonic() + AGAIN_WITHIN_S
        while (state := client.get(job).json())["status"] != "finished":
            assert time.monotonic() < until, state
            time.sleep(0.02)
    assert (state["done"], state["failed"]) == (300, 0)
