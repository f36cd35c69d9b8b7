"""Idempotency-Key: the same write sent again is answered again and changes nothing."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

from api.services.container import Services
from embedd.embedder import Embedder
from embedd.errors import ModelUnavailable

Client = TestClient[Any, Any]
DOCS = "/v1/collections/docs"
PATH = f"{DOCS}/documents"
WAIT = f"{PATH}?wait=true"
KEY = {"Idempotency-Key": "4be1-1"}
POINT = {"id": "p", "vector": [1.0] * 64, "text": "a point"}

WRITES: dict[str, tuple[str, str, object]] = {
    "points": ("POST", f"{DOCS}/points", {"points": [POINT]}),
    "delete points": ("POST", f"{DOCS}/points/delete", {"ids": ["kill", "port"]}),
    "documents": ("POST", WAIT, {"documents": [{"text": "new, without an id"}, {"text": "another"}]}),
    "documents as a job": ("POST", PATH, {"documents": [{"text": "new, without an id"}]}),
    "a version": ("POST", WAIT, {"documents": [{"id": "kill", "text": "changed", "version": 1}]}),
    "patch": ("PATCH", f"{PATH}/kill", {"metadata": {"n": 1}}),
    "delete": ("DELETE", f"{PATH}/kill", None),
    "delete documents": ("POST", f"{PATH}/delete", {"filter": {"lang": "en"}}),
}


async def send(client: Client, name: str, **headers: str) -> tuple[int, Any, str | None]:
    method, path, body = WRITES[name]
    response = await client.request(method, path, json=body, headers=KEY | headers)
    return response.status, await response.json(), response.headers.get("ETag")


async def stored(ask: Ask) -> Any:
    """Every document with its version, once nothing is under way."""
    documents = (await ask("GET", PATH))["documents"]
    return [(one["id"], one["version"], one["updated_at"]) for one in documents]


async def finish_jobs(services: Services) -> None:
    store = await services.catalog.get("docs")
    for job_id in await store.unfinished_jobs():
        await services.jobs.finished(store, job_id)


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_sent_again_is_answered_again_and_changes_nothing(
    client: Client, ask: Ask, docs: str, services: Services, name: str
) -> None:
    before = await stored(ask)
    first = await send(client, name)
    assert first[0] in {200, 202}, first
    await finish_jobs(services)
    after = await stored(ask)
    assert after != before
    for _ in range(2):
        assert await send(client, name) == first
    await finish_jobs(services)
    assert await stored(ask) == after


@pytest.mark.parametrize("name", WRITES)
async def test_of_the_same_write_many_times_at_once_one_is_carried_out(
    client: Client, ask: Ask, docs: str, services: Services, name: str
) -> None:
    answers = await asyncio.gather(*(send(client, name) for _ in range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] in {200, 202}
    await finish_jobs(services)
    new = {"points": 1, "documents": 2, "documents as a job": 1}
    gone = {"delete": 1, "delete points": 2, "delete documents": 2}
    assert len(await stored(ask)) == 3 + new.get(name, 0) - gone.get(name, 0)


@pytest.mark.parametrize("name", WRITES)
async def test_a_key_with_another_request_is_a_422(client: Client, docs: str, name: str) -> None:
    await client.post(f"{PATH}/delete", json={"ids": ["nobody"]}, headers=KEY)
    status, answer, _ = await send(client, name)
    assert (status, answer["error"]["code"]) == (422, "idempotency_key_reused")


async def test_another_if_match_makes_another_request(client: Client, docs: str) -> None:
    assert (await send(client, "patch", **{"If-Match": '"1"'}))[0] == 200
    assert (await send(client, "patch", **{"If-Match": '"1"'}))[0] == 200
    assert (await send(client, "patch", **{"If-Match": '"2"'}))[0] == 422


async def test_a_refused_write_leaves_its_key_free(client: Client, ask: Ask, docs: str) -> None:
    refused = await send(client, "patch", **{"If-Match": '"9"'})
    assert refused[0] == 412
    assert (await send(client, "patch"))[0] == 200


async def test_a_version_that_was_lost_in_a_race_is_lost_again(
    client: Client, docs: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unaware(*_: object) -> None:
        """As if the other write came behind this check."""

    monkeypatch.setattr(services.ingestor, "check_versions", unaware)
    body = {"documents": [{"id": "kill", "text": "late", "version": 7}]}
    for _ in range(2):
        response = await client.post(WAIT, json=body, headers=KEY)
        assert response.status == 409


@pytest.mark.parametrize("query", ["", "?wait=true"])
async def test_files_sent_again_are_the_same_request(
    client: Client, ask: Ask, docs: str, services: Services, query: str
) -> None:
    def form(text: str = "Spring tides come at new moon.") -> aiohttp.FormData:
        data = aiohttp.FormData(default_to_multipart=True)
        data.add_field("file", text.encode(), filename="tides.txt", content_type="text/plain")
        data.add_field("metadata", '{"n": 1}')
        return data

    answers = []
    for _ in range(2):
        response = await client.post(f"{PATH}{query}", data=form(), headers=KEY)
        answers.append((response.status, await response.json()))
        await finish_jobs(services)
    assert answers[0] == answers[1]
    assert answers[0][0] in {200, 202}
    assert (await ask("GET", f"{PATH}/tides.txt"))["version"] == 1
    assert list((services.settings.data / "collections/docs/uploads").iterdir()) == []
    other = await client.post(f"{PATH}{query}", data=form("Neap tides."), headers=KEY)
    assert other.status == 422


async def test_while_a_model_is_away_the_job_is_kept_and_the_retry_hears_of_it(
    client: Client, ask: Ask, docs: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = Embedder.embed

    async def away(*_: Any, **__: Any) -> Any:
        raise ModelUnavailable("away", 1.0)

    monkeypatch.setattr(Embedder, "embed", away)
    assert (await send(client, "documents"))[0] == 503
    monkeypatch.setattr(Embedder, "embed", embed)
    status, answer, _ = await send(client, "documents")
    assert (status, [one["status"] for one in answer["documents"]]) == (200, ["ready", "ready"])
    assert len(await stored(ask)) == 5


async def test_who_waits_for_a_dropped_collection_hears_that_it_is_gone(
    client: Client, ask: Ask, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def hold(*_: Any, **__: Any) -> Any:
        entered.set()
        await go_on.wait()
        raise ModelUnavailable("away", 1.0)

    monkeypatch.setattr(Embedder, "embed", hold)
    sending = asyncio.create_task(send(client, "documents"))
    await entered.wait()
    await ask("DELETE", DOCS)
    go_on.set()
    assert (await sending)[0] in {404, 503}


@pytest.mark.parametrize("key", ["", "k" * 256, "with space", "\u00fc"])
async def test_what_is_no_key_is_a_400(client: Client, docs: str, key: str) -> None:
    response = await client.delete(f"{PATH}/kill", headers={"Idempotency-Key": key})
    assert response.status == 400


async def test_a_key_is_of_its_collection(client: Client, ask: Ask, docs: str) -> None:
    await ask("PUT", "/v1/collections/other", {"dim": 64}, status=201)
    for name in ("docs", "other"):
        path = f"/v1/collections/{name}/points"
        response = await client.post(path, json={"points": [POINT]}, headers=KEY)
        assert await response.json() == {"upserted": 1}
        assert (await ask("POST", f"{path}/get", {"ids": ["p"]}))["points"][0]["version"] == 1
