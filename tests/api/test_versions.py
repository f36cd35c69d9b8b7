"""Optimistic concurrency over HTTP: `version` in a write, ETag and If-Match."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

Client = TestClient[Any, Any]
PATH = "/v1/collections/docs/documents"
WAIT = f"{PATH}?wait=true"
POINTS = "/v1/collections/mine/points"


@pytest.fixture
async def mine(ask: Ask) -> str:
    await ask("PUT", "/v1/collections/mine", {"dim": 2}, status=201)
    return "mine"


async def test_points_are_written_for_the_version_that_was_read(ask: Ask, mine: str) -> None:
    new = {"id": "a", "vector": [1, 0], "version": 0}
    await ask("POST", POINTS, {"points": [new]})
    error = (await ask("POST", POINTS, {"points": [new]}, status=409))["error"]
    assert (error["type"], error["code"]) == ("conflict_error", "version_conflict")
    others = [{"id": "b", "vector": [1, 0]}, {"id": "a", "vector": [0, 1], "version": 2}]
    await ask("POST", POINTS, {"points": others}, status=409)
    assert await ask("GET", f"{POINTS}/count") == {"count": 1}
    await ask("POST", POINTS, {"points": [{"id": "a", "vector": [0, 1], "version": 1}]})
    assert (await ask("POST", f"{POINTS}/get", {"ids": ["a"]}))["points"][0]["version"] == 2


@pytest.mark.parametrize("wait", [True, False])
async def test_documents_for_another_version_are_refused_before_anything_is_written(
    ask: Ask, docs: str, wait: bool
) -> None:
    documents = [{"id": "new", "text": "fresh"}, {"id": "kill", "text": "other", "version": 3}]
    error = (await ask("POST", WAIT if wait else PATH, {"documents": documents}, status=409))["error"]
    assert error["code"] == "version_conflict"
    assert "'kill' has version 1" in error["message"]
    await ask("GET", f"{PATH}/new", status=404)


async def test_a_document_is_replaced_for_the_version_that_was_read(ask: Ask, docs: str) -> None:
    changed = {"documents": [{"id": "kill", "text": "Another text.", "version": 1}]}
    assert (await ask("POST", WAIT, changed))["documents"][0]["status"] == "ready"
    assert (await ask("GET", f"{PATH}/kill"))["version"] == 2
    await ask("POST", WAIT, changed, status=409)


async def test_of_two_who_read_the_same_version_one_is_told_of_the_other(ask: Ask, docs: str) -> None:
    def replace(text: str) -> Awaitable[Any]:
        body = {"documents": [{"id": "kill", "text": text, "version": 1}]}
        return ask("POST", WAIT, body)

    outcomes = await asyncio.gather(*(replace(f"text {n}") for n in range(2)), return_exceptions=True)
    assert sum(isinstance(outcome, AssertionError) for outcome in outcomes) == 1
    assert (await ask("GET", f"{PATH}/kill"))["version"] == 2


async def test_in_a_job_a_conflict_fails_its_document_alone(
    ask: Ask, docs: str, monkeypatch: pytest.MonkeyPatch, services: Any
) -> None:
    async def unaware(*_: object) -> None:
        """As if the other write came behind this check."""

    monkeypatch.setattr(services.ingestor, "check_versions", unaware)
    documents = [{"id": "kill", "text": "late", "version": 7}, {"id": "new", "text": "fresh"}]
    outcomes = (await ask("POST", WAIT, {"documents": documents}))["documents"]
    assert [outcome["status"] for outcome in outcomes] == ["failed", "ready"]
    assert outcomes[0]["code"] == "version_conflict"
    await ask("POST", WAIT, {"documents": documents[:1]}, status=409)


async def test_get_gives_the_tag_that_delete_takes(ask: Ask, client: Client, docs: str) -> None:
    tag = (await client.get(f"{PATH}/kill")).headers["ETag"]
    assert tag == '"1"'
    refused = await client.delete(f"{PATH}/kill", headers={"If-Match": '"2"'})
    assert refused.status == 412
    assert (await refused.json())["error"]["code"] == "precondition_failed"
    done = await client.delete(f"{PATH}/kill", headers={"If-Match": f'"9", {tag}'})
    assert await done.json() == {"deleted": 1}


@pytest.mark.parametrize("tag", ['"2"', 'W/"1"', '"1x"', '"' + "9" * 400 + '"', '""'])
async def test_a_tag_of_another_state_matches_nothing(client: Client, docs: str, tag: str) -> None:
    assert (await client.delete(f"{PATH}/kill", headers={"If-Match": tag})).status == 412


@pytest.mark.parametrize("tag", ["1", '"1', '"1" "2"', "", "*, *", '"a b"'])
async def test_what_is_no_tag_is_a_400(client: Client, docs: str, tag: str) -> None:
    assert (await client.delete(f"{PATH}/kill", headers={"If-Match": tag})).status == 400


async def test_a_star_matches_whatever_is_there(client: Client, docs: str) -> None:
    assert (await client.delete(f"{PATH}/kill", headers={"If-Match": "*"})).status == 200
    assert (await client.delete(f"{PATH}/kill", headers={"If-Match": "*"})).status == 412


@pytest.mark.parametrize("version", [-1, "1", 1.5])
async def test_a_version_is_a_whole_number(ask: Ask, mine: str, version: object) -> None:
    await ask("POST", POINTS, {"points": [{"id": "a", "vector": [1, 0], "version": version}]}, status=422)


async def test_who_may_see_it_comes_back_with_a_document_and_a_point(ask: Ask, docs: str, mine: str) -> None:
    await ask("POST", WAIT, {"documents": [{"id": "d", "text": "words", "acl": ["team:sea", "boss"]}]})
    await ask("POST", POINTS, {"points": [{"id": "p", "vector": [1, 0], "acl": ["team:air"]}]})
    assert (await ask("GET", f"{PATH}/d"))["acl"] == ["team:sea", "boss"]
    assert "acl" not in await ask("GET", f"{PATH}/kill")
    assert (await ask("POST", f"{POINTS}/get", {"ids": ["p"]}))["points"][0]["acl"] == ["team:air"]
