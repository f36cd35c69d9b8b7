"""Jobs over HTTP: how far they are, watched to their end, cancelled, listed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

from api.services.container import Services
from api.services.incoming import Incoming
from api.services.ingest import Ingestor
from index.store import Store

JOB = "/v1/collections/docs/documents"


class Gate:
    """Stands in front of every ingestion until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()


@pytest.fixture
def gate(services: Services, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate, ingest = Gate(), services.ingestor.ingest

    async def ingest_behind(_: Ingestor, store: Store, documents: Sequence[Incoming], told: Any) -> Any:
        await gate.pass_through()
        return await ingest(store, documents, told)

    monkeypatch.setattr(Ingestor, "ingest", ingest_behind)
    return gate


@pytest.fixture
async def submit(ask: Ask) -> Callable[..., Awaitable[str]]:
    """Send documents of these ids as a job; gives the job's id."""
    await ask("PUT", "/v1/collections/docs", {}, status=201)

    async def submit(*ids: str, text: str = "The moon pulls the sea.") -> str:
        documents = [{"id": id_, "text": text} for id_ in ids]
        answer = await ask("POST", JOB, {"documents": documents}, status=202)
        return answer["job"]["id"]

    return submit


Submit = Callable[..., Awaitable[str]]


async def events(client: TestClient[Any, Any], job_id: str) -> AsyncIterator[Any]:
    """What each event of the stream says; the last one is a string if the stream ended well."""
    async with client.get(f"/v1/jobs/{job_id}/events") as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                data = line.removeprefix(b"data: ").decode().strip()
                yield data if data == "[DONE]" else json.loads(data)


async def test_a_job_is_watched_from_its_first_document_to_its_last(
    client: TestClient[Any, Any], submit: Submit, gate: Gate
) -> None:
    job_id = await submit("a", "b")
    seen = []
    async for event in events(client, job_id):
        seen.append(event)
        gate.opened.set()
    first, *_, last, end = seen
    size = 2 * len("The moon pulls the sea.")
    assert (first["status"], first["progress"]["documents"], first["progress"]["seconds_left"]) == (
        "running",
        0,
        None,
    )
    assert (first["progress"]["documents_total"], first["progress"]["bytes_total"]) == (2, size)
    assert last["status"] == "finished"
    assert [document["status"] for document in last["documents"]] == ["ready", "ready"]
    progress = last["progress"]
    assert progress.pop("rate") > 0
    assert progress == {
        "documents": 2,
        "documents_total": 2,
        "bytes": size,
        "bytes_total": size,
        "passages": 2,
        "seconds_left": 0.0,
    }
    assert end == "[DONE]"


async def test_the_events_of_a_job_that_has_ended_are_one_and_the_end(
    client: TestClient[Any, Any], submit: Submit
) -> None:
    job_id = await submit("a")
    assert [event async for event in events(client, job_id)][-1] == "[DONE]"
    job, end = [event async for event in events(client, job_id)]
    assert (job["status"], end) == ("finished", "[DONE]")


async def test_a_cancelled_job_keeps_what_is_settled_and_drops_the_rest(
    ask: Ask, client: TestClient[Any, Any], submit: Submit, gate: Gate, services: Services
) -> None:
    job_id = await submit("a", "b")
    await gate.reached.wait()
    cancelled = await ask("DELETE", f"/v1/jobs/{job_id}")
    assert (cancelled["status"], cancelled["done"], cancelled["total"]) == ("cancelled", 0, 2)
    assert cancelled["documents"] == []
    gate.opened.set()
    behind = await submit("c")
    assert [event async for event in events(client, behind)][-1] == "[DONE]"
    assert [document["id"] for document in (await ask("GET", JOB))["documents"]] == ["c"]
    assert await ask("GET", f"/v1/jobs/{job_id}") == cancelled
    assert await (await services.catalog.get("docs")).unfinished_jobs() == []


async def test_cancelling_what_has_ended_changes_nothing(
    ask: Ask, client: TestClient[Any, Any], submit: Submit
) -> None:
    job_id = await submit("a")
    assert [event async for event in events(client, job_id)][-1] == "[DONE]"
    finished = await ask("GET", f"/v1/jobs/{job_id}")
    assert await ask("DELETE", f"/v1/jobs/{job_id}") == finished
    assert (await ask("DELETE", "/v1/jobs/docs.none", status=404))["error"]["code"] == "job_not_found"


async def test_a_request_that_waits_for_a_job_hears_that_it_was_cancelled(
    ask: Ask, client: TestClient[Any, Any], gate: Gate
) -> None:
    await ask("PUT", "/v1/collections/docs", {}, status=201)
    body, headers = {"documents": [{"id": "a", "text": "A."}]}, {"Idempotency-Key": "k"}
    waiting = asyncio.create_task(client.post(f"{JOB}?wait=true", json=body, headers=headers))
    await gate.reached.wait()
    (job,) = (await ask("GET", "/v1/jobs?collection=docs"))["jobs"]
    await ask("DELETE", f"/v1/jobs/{job['id']}")
    response = await waiting
    assert response.status == 409
    assert (await response.json())["error"]["code"] == "job_cancelled"


async def test_jobs_are_listed_newest_first_of_one_collection_or_of_all(
    ask: Ask, submit: Submit, gate: Gate
) -> None:
    older, newer = await submit("a"), await submit("b")
    await ask("PUT", "/v1/collections/other", {}, status=201)
    body = {"documents": [{"id": "x", "text": "X."}]}
    other = await ask("POST", "/v1/collections/other/documents", body, status=202)
    listed = (await ask("GET", "/v1/jobs?collection=docs"))["jobs"]
    assert [job["id"] for job in listed] == [newer, older]
    assert all("documents" not in job and job["status"] == "running" for job in listed)
    everywhere = (await ask("GET", "/v1/jobs?limit=2"))["jobs"]
    assert [job["id"] for job in everywhere] == [other["job"]["id"], newer]
    await ask("GET", "/v1/jobs?collection=none", status=404)


async def test_the_events_of_a_job_whose_collection_is_dropped_end_with_the_reason(
    ask: Ask, client: TestClient[Any, Any], submit: Submit, gate: Gate
) -> None:
    job_id = await submit("a")
    seen = []
    async for event in events(client, job_id):
        if not seen:
            await ask("DELETE", "/v1/collections/docs")
        seen.append(event)
    assert "'docs' was deleted, and the job with it" in seen[-1]["error"]["message"]
    assert seen[-1]["error"]["code"] == "job_not_found"
    await ask("GET", f"/v1/jobs/{job_id}", status=404)
    await ask("GET", f"/v1/jobs/{job_id}/events", status=404)


async def test_a_service_that_is_told_to_stop_ends_the_events_it_sends(
    client: TestClient[Any, Any], submit: Submit, gate: Gate, services: Services
) -> None:
    seen = []
    async for event in events(client, await submit("a")):
        services.readiness.close()
        seen.append(event)
    assert seen[-1]["error"]["code"] == "shutting_down"


async def test_of_two_jobs_on_the_same_documents_the_later_one_stays(
    ask: Ask, client: TestClient[Any, Any], submit: Submit
) -> None:
    ids = [f"d{number}" for number in range(40)]
    jobs = [await submit(*ids, text="Old words."), await submit(*ids, text="New words.")]
    for job_id in jobs:
        assert [event async for event in events(client, job_id)][-1] == "[DONE]"
        assert (await ask("GET", f"/v1/jobs/{job_id}"))["failed"] == 0
    documents = (await ask("GET", JOB))["documents"]
    assert {(document["version"], document["characters"]) for document in documents} == {(2, 10)}
    assert (await ask("GET", "/v1/collections/docs/points/count"))["count"] == 40
