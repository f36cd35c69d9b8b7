"""Whoever changes something leaves a line; what they wrote and what they came with are not in it."""

from typing import Any

from aiohttp.test_utils import TestClient
from asking import expect
from structlog.testing import capture_logs

from api.http.routes import ROUTES
from api.security.identity import Scope
from api.security.keys import parts_of

Client = TestClient[Any, Any]

DOCUMENTS = "/v1/collections/open/documents"


def audits(logs: list[Any]) -> list[dict[str, Any]]:
    return [dict(entry) for entry in logs if entry["event"] == "write_audited"]


async def test_a_write_leaves_one_line_that_says_who_what_where_and_how_much(
    client: Client, make_key: Any
) -> None:
    headers = await make_key(scope=Scope.WRITE)
    documents = {"documents": [{"id": "classified", "text": "Never told."}, {"id": "b", "text": "Nor this."}]}
    with capture_logs() as logs:
        await expect(await client.post(f"{DOCUMENTS}?wait=true", json=documents, headers=headers), 200)
        await expect(await client.delete(f"{DOCUMENTS}/classified", headers=headers), 200)
        await expect(await client.post(f"{DOCUMENTS}/delete", json={"ids": ["b"]}, headers=headers), 200)
    written, deleted, more = audits(logs)
    key = headers["Authorization"].removeprefix("Bearer ")
    assert written["caller"] == parts_of(key)[0]
    assert (written["route"], written["collection"]) == ("/v1/collections/{name}/documents", "open")
    assert (written["method"], written["status"], written["documents"]) == ("POST", 200, 2)
    assert (deleted["method"], deleted["deleted"], more["deleted"]) == ("DELETE", 1, 1)
    for line in (written, deleted, more):
        assert key not in str(line)
        assert "Never told" not in str(line)
        assert "classified" not in str(line)


async def test_a_write_that_was_refused_leaves_a_line_too(client: Client, make_key: Any) -> None:
    reader = await make_key()
    with capture_logs() as logs:
        await expect(await client.delete("/v1/collections/open", headers=reader), 403)
        await expect(await client.delete("/v1/collections/open"), 401)
        await client.post(DOCUMENTS, data=b"{", headers=await make_key(scope=Scope.WRITE))
    refused, unknown, malformed = audits(logs)
    assert (refused["status"], unknown["status"], malformed["status"]) == (403, 401, 400)
    assert refused["caller"] is not None
    assert unknown["caller"] is None


async def test_keys_that_are_made_leave_their_id_and_nothing_more(
    client: Client, admin: dict[str, str]
) -> None:
    with capture_logs() as logs:
        made = await expect(await client.post("/v1/keys", json={"name": "x"}, headers=admin), 201)
        await expect(await client.delete(f"/v1/keys/{made['id']}", headers=admin), 200)
    assert [line["key"] for line in audits(logs)] == [made["id"]] * 2
    assert parts_of(made["key"])[1] not in str(logs)
    assert {line["caller"] for line in audits(logs)} == {"admin_key_file"}


async def test_whoever_only_reads_leaves_none(client: Client, admin: dict[str, str]) -> None:
    with capture_logs() as logs:
        await client.get("/v1/keys", headers=admin)
        await client.post("/v1/collections/open/search", json={"query": "harbour"}, headers=admin)
    assert audits(logs) == []


def test_every_route_that_is_there_to_write_is_audited() -> None:
    assert {route.method for route in ROUTES if route.changes} == {"POST", "PUT", "PATCH", "DELETE"}
    assert all(route.changes for route in ROUTES if route.method in ("PUT", "PATCH", "DELETE"))
