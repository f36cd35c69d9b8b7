"""A key for some collections, or with tags, sees nothing else: on no route and under no name."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import TestClient
from asking import expect

from api.http import wire
from api.http.routes import ROUTES
from api.security.identity import Scope
from api.security.keys import parts_of
from api.services.container import Services

Client = TestClient[Any, Any]
Headers = dict[str, str]

QUESTION = [{"role": "user", "content": "When does the harbour open?"}]


@pytest.fixture
async def limited(make_key: Any) -> Headers:
    """For the collection ``open`` alone."""
    key: Headers = await make_key(scope=Scope.WRITE, collections=["open"])
    return key


@pytest.fixture
async def tagged(make_key: Any) -> Headers:
    key: Headers = await make_key(acl=["sea"])
    return key


def documents_of(answer: Any) -> set[str]:
    return {hit["document_id"] for hit in answer["hits"]}


async def test_no_route_of_another_collection_opens(client: Client, limited: Headers) -> None:
    tried = 0
    for route in ROUTES:
        if route.path.startswith("/v1/collections/{name}"):
            for name in ("secret", "other", "missing", "%73ecret"):
                path = route.path.replace("{name}", name).replace("{id:.+}", "x")
                refused = await expect(await client.request(route.method, path, headers=limited), 403)
                assert refused["error"]["code"] == "collection_not_allowed", (route.method, path)
                tried += 1
    assert tried > 80


async def test_its_own_collection_opens(client: Client, limited: Headers) -> None:
    found = await expect(
        await client.post("/v1/collections/open/search", json={"query": "harbour"}, headers=limited), 200
    )
    assert found["hits"]


async def test_other_collections_stand_in_no_list(client: Client, limited: Headers) -> None:
    for path in ("/v1/collections", "/v1/aliases", "/v1/models", "/v1/jobs"):
        text = await (await client.get(path, headers=limited)).text()
        assert "secret" not in text, path
        assert "other" not in text, path
    info = await expect(await client.get("/v1/info", headers=limited), 200)
    assert info["collections"] == 1


async def test_answers_come_out_of_no_other_collection(client: Client, limited: Headers) -> None:
    for body in (
        {"retrieval": {"collection": "secret"}},
        {"retrieval": {"collection": "other"}},
        {"model": "extractive@secret"},
        {"model": "extractive@other"},
        {"model": "extractive@secret", "stream": True},
    ):
        response = await client.post(
            "/v1/chat/completions", json={"messages": QUESTION} | body, headers=limited
        )
        await expect(response, 403)


async def test_aliases_move_only_between_its_own(
    client: Client, limited: Headers, admin: Headers, make_key: Any
) -> None:
    for path, body in (
        ("/v1/aliases/mine", {"collection": "secret"}),
        ("/v1/aliases/other", {"collection": "open"}),
    ):
        await expect(await client.put(path, json=body, headers=limited), 403)
    await expect(await client.delete("/v1/aliases/other", headers=limited), 403)
    await expect(await client.put("/v1/aliases/mine", json={"collection": "open"}, headers=limited), 403)
    limited = await make_key(scope=Scope.WRITE, collections=["open", "mine"])
    await expect(await client.put("/v1/aliases/mine", json={"collection": "open"}, headers=limited), 201)
    await expect(await client.get("/v1/collections/mine", headers=limited), 200)
    await expect(await client.delete("/v1/aliases/mine", headers=limited), 200)


async def test_an_alias_that_moves_while_a_body_comes_opens_nothing(
    client: Client, limited: Headers, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await services.catalog.assign("live", "open")
    read, reading = wire.read_body, asyncio.Event()

    async def note(request: Any, kind: Any) -> Any:
        reading.set()
        return await read(request, kind)

    async def body() -> AsyncIterator[bytes]:
        yield b'{"ids": '
        await reading.wait()
        await services.catalog.assign("live", "secret")
        yield b'["secret-all"]}'

    monkeypatch.setattr(wire, "read_body", note)
    path, headers = "/v1/collections/live/documents/delete", {**limited, "Content-Type": "application/json"}
    refused = await expect(await client.post(path, data=body(), headers=headers), 403)
    assert refused["error"]["code"] == "collection_not_allowed"
    await services.catalog.unassign("live")
    assert await (await services.catalog.get("secret")).document("secret-all") is not None


async def test_jobs_of_other_collections_are_out_of_reach(
    client: Client, limited: Headers, admin: Headers
) -> None:
    body = {"documents": [{"id": "job", "text": "By and by."}]}
    job = (
        await expect(await client.post("/v1/collections/secret/documents", json=body, headers=admin), 202)
    )["job"]["id"]
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
        await expect(await client.request(method, f"/v1/jobs/{job}{path}", headers=limited), 403)
    await expect(await client.get("/v1/jobs?collection=secret", headers=limited), 403)
    into = {"model": "fake", "into": "elsewhere"}
    await expect(await client.post("/v1/collections/open/reembed", json=into, headers=limited), 403)
    await client.get(f"/v1/jobs/{job}/events", headers=admin)
    await expect(await client.delete("/v1/collections/secret/documents/job", headers=admin), 200)


async def test_conversations_are_for_keys_without_limits(
    client: Client, limited: Headers, tagged: Headers, make_key: Any
) -> None:
    writer = await make_key(scope=Scope.WRITE)
    id = (await expect(await client.post("/v1/conversations", json={}, headers=writer), 201))["id"]
    ask = {"messages": QUESTION, "conversation": id, "retrieval": {"collection": "open"}}
    for headers in (limited, tagged, await make_key()):
        await expect(await client.post("/v1/chat/completions", json=ask, headers=headers), 403)
    for headers in (limited, tagged):
        await expect(await client.get("/v1/conversations", headers=headers), 403)
    await expect(await client.post("/v1/chat/completions", json=ask, headers=writer), 200)


@pytest.mark.parametrize("acl", [None, [], ["air"], ["sea", "air"]])
async def test_searches_have_the_tags_of_the_key_whatever_they_say(
    client: Client, tagged: Headers, acl: list[str] | None
) -> None:
    search: dict[str, Any] = {"query": "harbour airport"} | ({} if acl is None else {"acl": acl})
    found = await expect(await client.post("/v1/collections/open/search", json=search, headers=tagged), 200)
    assert documents_of(found) == {"open-all", "open-sea"}
    batch = await expect(
        await client.post("/v1/collections/open/search/batch", json={"searches": [search]}, headers=tagged),
        200,
    )
    assert documents_of(batch["results"][0]) == {"open-all", "open-sea"}
    like = {"positive": ["open-all#0"], "k": 10} | ({} if acl is None else {"acl": acl})
    found = await expect(await client.post("/v1/collections/open/recommend", json=like, headers=tagged), 200)
    assert documents_of(found) == {"open-sea"}


async def test_answers_have_the_tags_of_the_key_whatever_they_say(client: Client, tagged: Headers) -> None:
    retrieval = {"collection": "open", "acl": ["air"], "k": 10, "min_evidence": 0}
    body = {"messages": [{"role": "user", "content": "When does the airport close?"}], "retrieval": retrieval}
    answer = await expect(await client.post("/v1/chat/completions", json=body, headers=tagged), 200)
    assert "open-air" not in str(answer)


async def test_what_shows_documents_whatever_their_tags_is_closed_to_tags(
    client: Client, tagged: Headers
) -> None:
    for method, path in (
        ("GET", "documents"),
        ("GET", "documents/open-air"),
        ("POST", "points/get"),
        ("POST", "points/scroll"),
        ("POST", "facets"),
        ("GET", "export"),
        ("GET", "map"),
        ("GET", "points/count"),
    ):
        response = await client.request(method, f"/v1/collections/open/{path}", json={}, headers=tagged)
        assert (await expect(response, 403))["error"]["code"] == "key_is_limited"


async def test_a_page_brings_its_key_as_a_protocol_of_the_socket(client: Client, tagged: Headers) -> None:
    key = tagged["Authorization"].removeprefix("Bearer ")
    protocols = ("embedd", f"embedd.key.{key}")
    async with client.ws_connect("/v1/chat", protocols=protocols) as socket:
        assert socket.protocol == "embedd"
        ask = {"type": "ask", "id": "a", "messages": QUESTION, "retrieval": {"collection": "open", "k": 10}}
        await socket.send_json(ask)
        first = await socket.receive_json()
        assert {source["document_id"] for source in first["data"]["sources"]} <= {"open-all", "open-sea"}
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect("/v1/chat", protocols=("embedd", "embedd.key.wrong"))
    assert refused.value.status == 401


async def test_a_socket_answers_no_more_once_its_key_is_revoked(
    client: Client, services: Services, make_key: Any
) -> None:
    headers = await make_key()
    async with client.ws_connect("/v1/chat", headers=headers) as socket:
        await services.gate.keys.revoke(parts_of(headers["Authorization"].removeprefix("Bearer "))[0])
        await socket.send_json({"type": "ask", "id": "a", "messages": QUESTION})
        assert (await socket.receive_json())["error"]["code"] == "invalid_api_key"


async def test_an_answer_can_be_taken_up_by_its_own_key_alone(client: Client, make_key: Any) -> None:
    id = "an-id-that-nobody-guesses"
    mine, anothers = await make_key(), await make_key()
    ask = {"type": "ask", "id": id, "messages": QUESTION, "retrieval": {"collection": "open"}}
    async with client.ws_connect("/v1/chat", headers=mine) as socket:
        await socket.send_json(ask)
        await socket.receive_json()
    for headers, expected in ((anothers, "error"), (mine, "chunk")):
        async with client.ws_connect("/v1/chat", headers=headers) as socket:
            await socket.send_json({"type": "resume", "id": id})
            assert (await socket.receive_json())["type"] == expected
