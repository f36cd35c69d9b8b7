"""Keys open what they are for, and everything else is refused in the same words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import expect

from api.errors import Forbidden, Unauthenticated
from api.http.routes import ROUTES
from api.schemas_keys import KeyRequest
from api.security import keys as keys_module
from api.security.contract import draft_of
from api.security.gate import ADMIN_NAME, Trusted
from api.security.identity import Identity, Scope
from api.security.key_file import read_key
from api.security.keys import Key, matching, mint, parts_of
from api.security.needs import ADMIN
from api.services.container import Services
from index.codec import timestamp

Client = TestClient[Any, Any]
Headers = dict[str, str]

PUBLIC = {"/", "/ui/{file}", "/healthz", "/startupz", "/readyz", "/openapi.json", "/docs", "/health"}
SEARCH = {"query": "the harbour", "mode": "lexical"}


def a_key(**fields: Any) -> tuple[Key, str]:
    return mint(draft_of(KeyRequest(name="x", **fields)))


def test_a_key_says_nothing_of_its_secret_but_to_whoever_made_it() -> None:
    key, whole = a_key()
    id, secret = parts_of(whole)
    assert id == key.id
    assert len(secret) >= 43
    assert secret.encode() not in key.digest
    assert secret not in repr(key)
    assert matching(key, secret, timestamp()) is key


def test_unknown_wrong_revoked_and_expired_keys_take_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    key, whole = a_key()
    secret = parts_of(whole)[1]
    calls: list[str] = []

    def counted(name: str, original: Any) -> Any:
        return lambda *values: (calls.append(name), original(*values))[1]

    monkeypatch.setattr(keys_module, "digest_of", counted("digest", keys_module.digest_of))
    monkeypatch.setattr(
        keys_module.hmac, "compare_digest", counted("compare", keys_module.hmac.compare_digest)
    )
    revoked, expired = replace(key, revoked_at=timestamp()), replace(key, expires_at="2000-01-01")
    for candidate, given in ((None, secret), (key, "wrong"), (revoked, secret), (expired, secret), (key, "")):
        calls.clear()
        assert matching(candidate, given, timestamp()) is None
        assert calls == ["digest", "compare"]


async def test_a_key_that_was_exchanged_is_not_the_one_of_its_name_any_more(
    services: Services, admin: Headers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = services.gate
    known = await gate.identify(admin["Authorization"].removeprefix("Bearer "))
    gate.check_still_valid(known)
    (tmp_path / "next").write_text("another-key-of-the-administrator-in-a-file")
    monkeypatch.setattr(gate, "trusted", Trusted(admin=read_key(tmp_path / "next", ADMIN_NAME)))
    with pytest.raises(Unauthenticated):
        gate.check_still_valid(known)


def test_administration_is_closed_to_limited_keys_however_they_came(services: Services) -> None:
    limited = Identity("token", Scope.ADMIN.included(), collections=frozenset({"open"}))
    with pytest.raises(Forbidden, match="limited"):
        services.gate.check_needs(limited, ADMIN)
    services.gate.check_needs(replace(limited, collections=None), ADMIN)


def test_scopes_include_those_below() -> None:
    assert Scope.READ.included() == {Scope.READ}
    assert Scope.WRITE.included() == {Scope.READ, Scope.WRITE}
    assert Scope.ADMIN.included() == set(Scope)


def test_every_route_but_a_few_asks_for_a_key() -> None:
    assert {route.path for route in ROUTES if route.needs.scope is None} == PUBLIC


def test_what_changes_anything_needs_more_than_reading() -> None:
    changing = [route for route in ROUTES if route.method in ("PUT", "PATCH", "DELETE")]
    assert changing
    assert all(route.needs.scope in (Scope.WRITE, Scope.ADMIN) for route in changing)


def test_what_shows_documents_whatever_their_tags_is_not_for_keys_with_tags() -> None:
    looks_at_tags = ("/search", "/search/batch", "/recommend", "/v1/collections/{name}")
    for route in ROUTES:
        if route.path.startswith("/v1/collections/{name}") and route.needs.scope is Scope.READ:
            expected = "all" if route.path.endswith(looks_at_tags) else "untagged"
            assert route.needs.audience == expected, route.path


async def test_without_a_key_every_route_that_asks_for_one_is_401(client: Client) -> None:
    for route in ROUTES:
        if route.needs.scope is not None:
            path = route.path.replace("{name}", "open").replace("{id}", "x").replace("{id:.+}", "x")
            response = await client.request(route.method, path)
            assert response.status == 401, (route.method, path)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_is_taken_from_where_clients_put_it(client: Client, make_key: Any) -> None:
    key = (await make_key())["Authorization"].removeprefix("Bearer ")
    for headers in (
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer  {key}"},
        {"api-key": key},
        {"x-api-key": key},
    ):
        await expect(await client.get("/v1/info", headers=headers), 200)


async def test_keys_that_are_not_good_are_refused_alike(
    client: Client, services: Services, make_key: Any
) -> None:
    good = (await make_key())["Authorization"].removeprefix("Bearer ")
    gone = (await make_key())["Authorization"].removeprefix("Bearer ")
    await services.gate.keys.revoke(parts_of(gone)[0])
    id, _ = parts_of(good)
    answers = []
    for key in (
        gone,
        f"embedd_{id}_wrong",
        "embedd_0_0",
        f"embedd_{id}",
        "sk-other",
        "schlüssel",
        "x" * 7000,
    ):
        response = await client.get("/v1/info", headers={"Authorization": f"Bearer {key}"})
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="embedd"'
        answers.append(await response.text())
    assert len(set(answers)) == 1
    assert '"code":"invalid_api_key"' in answers[0]


async def test_an_expired_key_opens_nothing(client: Client, services: Services, make_key: Any) -> None:
    headers = await make_key()
    id, _ = parts_of(headers["Authorization"].removeprefix("Bearer "))
    store = services.gate.keys
    store._keys[id] = replace(store._keys[id], expires_at="2020-01-01T00:00:00.000Z")
    assert (await client.get("/v1/info", headers=headers)).status == 401


async def test_a_scope_that_is_missing_is_403(client: Client, make_key: Any) -> None:
    reader, writer = await make_key(), await make_key(scope=Scope.WRITE)
    documents = {"documents": [{"id": "new", "text": "A new one."}]}
    path = "/v1/collections/open/documents?wait=true"
    refused = await expect(await client.post(path, json=documents, headers=reader), 403)
    assert refused["error"]["code"] == "scope_missing"
    assert refused["error"]["type"] == "permission_error"
    await expect(await client.post(path, json=documents, headers=writer), 200)
    await expect(await client.get("/v1/keys", headers=writer), 403)
    await expect(await client.delete("/v1/collections/open/documents/new", headers=writer), 200)


async def test_keys_are_made_listed_and_revoked_over_http(client: Client, admin: Headers) -> None:
    body = {"name": "front end", "scope": "write", "collections": ["open"], "requests_per_minute": 100}
    made = await expect(await client.post("/v1/keys", json=body, headers=admin), 201)
    headers = {"Authorization": f"Bearer {made['key']}"}
    await expect(await client.get("/v1/collections/open", headers=headers), 200)
    listed = (await expect(await client.get("/v1/keys", headers=admin), 200))["keys"]
    (found,) = [key for key in listed if key["id"] == made["id"]]
    assert found == {name: value for name, value in made.items() if name != "key"}
    assert body.items() <= found.items()
    revoked = await expect(await client.delete(f"/v1/keys/{made['id']}", headers=admin), 200)
    again = await expect(await client.delete(f"/v1/keys/{made['id']}", headers=admin), 200)
    assert revoked == again
    assert (await client.get("/v1/collections/open", headers=headers)).status == 401
    await expect(await client.delete("/v1/keys/none", headers=admin), 404)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "x", "scope": "write", "acl": ["sea"]}, "scope"),
        ({"name": "x", "scope": "admin", "collections": ["open"]}, "scope"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "0001-01-01T00:00:00+10:00"}, "expires_at"),
        ({"name": "x", "scope": "root"}, "scope"),
        ({"name": "x", "collections": []}, "collections"),
        ({"name": "x", "requests_per_minute": 0}, "requests_per_minute"),
        ({"name": ""}, "name"),
        ({"name": "x", "key": "mine"}, "key"),
    ],
)
async def test_keys_that_make_no_sense_are_not_made(
    client: Client, admin: Headers, body: dict[str, Any], param: str
) -> None:
    refused = await expect(await client.post("/v1/keys", json=body, headers=admin), 422)
    assert refused["error"]["param"] == param


async def test_metrics_need_a_key_without_limits(client: Client, make_key: Any, admin: Headers) -> None:
    assert (await client.get("/metrics")).status == 401
    assert (await client.get("/metrics", headers=await make_key(collections=["open"]))).status == 403
    assert (await client.get("/metrics", headers=admin)).status == 200


async def test_errors_of_teis_routes_stay_flat(client: Client) -> None:
    refused = await expect(await client.post("/embed", json={"inputs": "x"}), 401)
    assert set(refused) == {"error", "error_type"}


def test_bytes_that_are_no_text_have_a_digest_too() -> None:
    assert keys_module.digest_of("\udcff") != keys_module.digest_of("")
