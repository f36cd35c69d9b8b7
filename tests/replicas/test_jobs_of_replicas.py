"""A job is worked on by one replica, and finished by another if that one is gone."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from replica_pair import Replica, until

DOCUMENTS = 1_500
"""More than one turn."""


@contextmanager
def asleep(*replicas: Replica) -> Iterator[None]:
    for replica in replicas:
        replica.service.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for replica in replicas:
            replica.service.signal(signal.SIGCONT)


def submitted(replica: Replica, docs: str, count: int = DOCUMENTS) -> str:
    job = ""
    for first in range(0, count, 1_000):
        numbers = range(first, min(count, first + 1_000))
        body = {"documents": [{"id": f"d{n}", "text": f"Text {n} of the sea. " * 20} for n in numbers]}
        job = replica.ask("POST", f"{docs}/documents", body, status=202)["job"]["id"]
    return job


def job_of(replica: Replica, job: str) -> Any:
    return replica.ask("GET", f"/v1/jobs/{job}")


def test_a_job_whose_replica_is_killed_is_finished_by_another_and_every_document_is_written_once(
    one: Replica, two: Replica, start: Callable[[], Replica]
) -> None:
    docs = "/v1/collections/killed"
    one.ask("PUT", docs, {}, status=201)
    third = start()
    with asleep(one, two):
        job = submitted(third, docs, 1_000)
        until(lambda: job_of(third, job)["done"])
        third.service.kill()
    left = job_of(one, job)
    assert 0 < left["done"] < left["total"]
    finished = until(lambda: (found := job_of(two, job))["status"] == "finished" and found, 60.0)
    assert (finished["done"], finished["failed"]) == (1_000, 0)
    assert {each["status"] for each in finished["documents"]} == {"ready"}
    assert {each["version"] for each in documents(one, docs)} == {1}
    one.ask("DELETE", docs)


def test_a_job_is_waited_for_and_cancelled_at_another_replica(one: Replica, two: Replica, docs: str) -> None:
    with asleep(two):
        job = submitted(one, docs)
        until(lambda: one.ask("GET", f"/v1/jobs?collection={docs.rpartition('/')[2]}")["jobs"])
    cancelled = two.ask("DELETE", f"/v1/jobs/{job}")
    assert cancelled["status"] == "cancelled"
    first = next(
        each["id"]
        for each in one.ask("GET", f"/v1/jobs?collection={docs.rpartition('/')[2]}")["jobs"]
        if each["id"] != job
    )
    until(lambda: job_of(two, first)["status"] == "finished", 60.0)
    assert len(documents(two, docs)) == 1_000 + job_of(one, job)["done"]


def documents(replica: Replica, docs: str) -> list[Any]:
    found: list[Any] = []
    after = ""
    while True:
        page = replica.ask("GET", f"{docs}/documents?limit=500{after}")
        found += page["documents"]
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"
