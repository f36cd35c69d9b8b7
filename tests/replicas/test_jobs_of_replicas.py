"""A job is worked on by one replica, and finished by another if that one is gone."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from replica_pair import Replica, until


@contextmanager
def asleep(*replicas: Replica) -> Iterator[None]:
    for replica in replicas:
        replica.service.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for replica in replicas:
            replica.service.signal(signal.SIGCONT)


def submitted(replica: Replica, docs: str, numbers: range) -> str:
    body = {"documents": [{"id": f"d{n}", "text": f"Text {n} of the sea. " * 20} for n in numbers]}
    job: str = replica.ask("POST", f"{docs}/documents", body, status=202)["job"]["id"]
    return job


def job_of(replica: Replica, job: str) -> Any:
    return replica.ask("GET", f"/v1/jobs/{job}")


@pytest.mark.slow
def test_a_job_whose_replica_is_killed_is_finished_by_another_and_every_document_is_written_once(
    one: Replica, two: Replica, start: Callable[[], Replica]
) -> None:
    docs = "/v1/collections/killed"
    one.ask("PUT", docs, {}, status=201)
    third = start()
    with asleep(one, two):
        job = submitted(third, docs, range(700))
        until(lambda: job_of(third, job)["done"])
        third.service.kill()
    left = job_of(one, job)
    assert 0 < left["done"] < left["total"]
    finished = until(lambda: (found := job_of(two, job))["status"] == "finished" and found, 60.0)
    assert (finished["done"], finished["failed"]) == (700, 0)
    assert {each["status"] for each in finished["documents"]} == {"ready"}
    assert {each["version"] for each in documents(one, docs)} == {1}
    one.ask("DELETE", docs)


def test_a_job_is_followed_and_cancelled_at_a_replica_that_does_not_work_on_it(
    one: Replica, two: Replica, docs: str
) -> None:
    with asleep(two):
        first, second = submitted(one, docs, range(600)), submitted(one, docs, range(600, 700))
        until(lambda: job_of(one, first)["done"])
    assert two.ask("DELETE", f"/v1/jobs/{second}")["status"] == "cancelled"
    until(lambda: job_of(two, first)["status"] == "finished", 60.0)
    assert len(documents(two, docs)) == 600 + job_of(one, second)["done"]


def documents(replica: Replica, docs: str) -> list[Any]:
    found: list[Any] = []
    after = ""
    while True:
        page = replica.ask("GET", f"{docs}/documents?limit=500{after}")
        found += page["documents"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"
