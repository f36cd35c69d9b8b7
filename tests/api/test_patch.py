"""PATCH on a document."""

from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

Client = TestClient[Any, Any]
PATH = "/v1/collections/docs/documents"
KILL = f"{PATH}/kill"


async def test_a_patch_merges_the_metadata_and_costs_no_embedding(ask: Ask, docs: str) -> None:
    passages = await ask(
        "POST", "/v1/collections/docs/points/get", {"ids": ["kill#0"], "include": ["vector"]}
    )
    answer = await ask("PATCH", KILL, {"metadata": {"year": None, "team": {"name": "sea"}}})
    assert answer["metadata"] == {"lang": "en", "team": {"name": "sea"}}
    assert (answer["version"], answer["title"]) == (2, "Durability")
    assert await ask("GET", KILL) == answer
    again = await ask("POST", "/v1/collections/docs/points/get", {"ids": ["kill#0"], "include": ["vector"]})
    assert again["points"][0]["vector"] == passages["points"][0]["vector"]


async def test_a_patched_document_sent_again_as_it_was_is_written_again(ask: Ask, docs: str) -> None:
    document = {"documents": [{"id": "x", "text": "the same", "metadata": {"n": 1}}]}
    await ask("POST", f"{PATH}?wait=true", document)
    await ask("PATCH", f"{PATH}/x", {"metadata": {"n": 2}})
    outcome = (await ask("POST", f"{PATH}?wait=true", document))["documents"][0]
    assert outcome["status"] == "ready"
    assert (await ask("GET", f"{PATH}/x"))["metadata"] == {"n": 1}


async def test_a_new_title_is_searched_at_once(ask: Ask, docs: str) -> None:
    await ask("PATCH", KILL, {"title": "Zeppelin"})
    search = {"query": "zeppelin", "mode": "lexical"}
    hits = (await ask("POST", "/v1/collections/docs/search", search))["hits"]
    assert [(hit["document_id"], hit["title"]) for hit in hits] == [("kill", "Zeppelin")]


async def test_a_patch_goes_ahead_only_on_the_tag_that_was_read(ask: Ask, client: Client, docs: str) -> None:
    tag = (await client.get(KILL)).headers["ETag"]
    first = await client.patch(KILL, json={"metadata": {"n": 1}}, headers={"If-Match": tag})
    assert (first.status, first.headers["ETag"]) == (200, '"2"')
    second = await client.patch(KILL, json={"metadata": {"n": 2}}, headers={"If-Match": tag})
    assert second.status == 412
    assert (await ask("GET", KILL))["metadata"]["n"] == 1


async def test_an_id_with_slashes_is_patched(ask: Ask, docs: str) -> None:
    await ask("POST", f"{PATH}?wait=true", {"documents": [{"id": "a/b c.md", "text": "nested"}]})
    assert (await ask("PATCH", f"{PATH}/a%2Fb%20c.md", {"metadata": {"n": 1}}))["id"] == "a/b c.md"


async def test_a_patch_is_taken_as_merge_patch_json_and_as_msgpack(client: Client, docs: str) -> None:
    body = {"metadata": {"n": 1}}
    for content_type, encode in (
        ("application/merge-patch+json", msgspec.json.encode),
        ("application/msgpack", msgspec.msgpack.encode),
    ):
        response = await client.patch(KILL, data=encode(body), headers={"Content-Type": content_type})
        assert response.status == 200


async def test_what_is_not_there_is_a_404(ask: Ask, docs: str) -> None:
    await ask("PATCH", f"{PATH}/nobody", {"metadata": {}}, status=404)
    await ask("PATCH", "/v1/collections/nowhere/documents/x", {"metadata": {}}, status=404)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"metadata": None}, "metadata"),
        ({"metadata": []}, "metadata"),
        ({"title": None}, "title"),
        ({"title": "t" * 1001}, "title"),
        ({"text": "new"}, "text"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+05:00"}, "expires_at"),
        ({"metadata": {"a": "x" * 70_000}}, None),
    ],
)
async def test_a_wrong_patch_is_a_422_and_changes_nothing(
    ask: Ask, docs: str, body: object, param: str | None
) -> None:
    assert (await ask("PATCH", KILL, body, status=422))["error"]["param"] == param
    assert (await ask("GET", KILL))["version"] == 1
