"""An identity provider whose keys are fetched: they change, are withdrawn, and it is away at times."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from asking import client_of, open_ready
from cryptography.hazmat.primitives.asymmetric import rsa

from api.errors import ProviderUnavailable, refuse
from api.http import fetching
from api.http.fetching import fetch
from api.security.gate import open_gate
from api.security.key_store import open_keys
from api.security.provider import OLD_AFTER_S, PAUSE_S, Provider
from api.security.quotas import LocalQuotas
from api.security.token_keys import TokenKey
from api.settings import SettingsError, load_settings
from embedd.ownership import owned_tasks

CLAIMS = {"sub": "ada", "exp": 4_000_000_000, "scope": "embedd:read"}
SECRET = "a secret that was published by mistake, which makes it none"


@dataclass
class Published:
    """A provider: ``keys`` are what it publishes, by their names; None is being away."""

    keys: list[str] | None = field(default_factory=lambda: ["one"])
    private: dict[str, rsa.RSAPrivateKey] = field(default_factory=dict)
    asked: int = 0
    url: str = ""

    def token(self, name: str) -> str:
        return jwt.encode(CLAIMS, self.key(name), algorithm="RS256", headers={"kid": name})

    def key(self, name: str) -> rsa.RSAPrivateKey:
        if name not in self.private:
            self.private[name] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self.private[name]

    def content(self) -> bytes:
        to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
        named = {name: json.loads(to_jwk(self.key(name).public_key())) for name in self.keys or ()}
        return json.dumps({"keys": [key | {"kid": name} for name, key in named.items()]}).encode()

    async def fetch(self, _: str) -> bytes:
        self.asked += 1
        if self.keys is None:
            raise OSError("nobody is there")
        return self.content()


@pytest.fixture
def published() -> Published:
    return Published()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def provider(published: Published, clock: Clock) -> AsyncIterator[Provider]:
    async with owned_tasks() as tasks:
        provider = Provider("https://id.example.org/keys", published.fetch, tasks, clock)
        yield provider
        provider.stop()


async def names_found(provider: Provider, *names: str) -> list[str]:
    return [name for name in names if isinstance(await provider.find(name), TokenKey)]


async def test_keys_are_fetched_once_for_many_tokens(provider: Provider, published: Published) -> None:
    published.keys = ["one", "two"]
    assert await names_found(provider, "one", "two", "one") == ["one", "two", "one"]
    assert published.asked == 1


async def test_a_key_that_is_not_known_is_asked_for_but_not_again_and_again(
    provider: Provider, published: Published, clock: Clock
) -> None:
    await provider.find("one")
    published.keys = ["two"]
    for name in ("two", "three", "", "x" * 100):
        assert await provider.find(name) is None, "it has just been asked"
    assert published.asked == 1
    clock.now += PAUSE_S
    assert await names_found(provider, "two", "one") == ["two"]
    assert published.asked == 2


async def test_keys_are_kept_while_the_provider_is_away(
    provider: Provider, published: Published, clock: Clock
) -> None:
    await provider.find("one")
    published.keys = None
    for _ in range(3):
        clock.now += OLD_AFTER_S + PAUSE_S
        assert await names_found(provider, "one", "two") == ["one"]
    assert published.asked == 4


async def test_a_key_that_was_withdrawn_opens_nothing_in_the_end(
    provider: Provider, published: Published, clock: Clock
) -> None:
    await provider.find("one")
    published.keys = ["two"]
    clock.now += OLD_AFTER_S + 1
    await provider.find("one")  # which has the keys fetched beside it
    await provider._asked()
    assert await names_found(provider, "one", "two") == ["two"]


async def test_without_any_keys_it_is_said_that_nobody_can_be_known(
    provider: Provider, published: Published, clock: Clock
) -> None:
    published.keys = None
    with pytest.raises(ProviderUnavailable) as unavailable:
        await provider.find("one")
    refusal = refuse(unavailable.value)
    assert (refusal.status, refusal.retry_after_s) == (503, PAUSE_S)
    published.keys = ["one"]
    clock.now += PAUSE_S
    assert await names_found(provider, "one") == ["one"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"keys": 7}', b'{"keys": [7]}', b"[" * 200_000])
async def test_what_is_no_set_of_keys_is_as_good_as_nothing(content: bytes) -> None:
    async def garbage(_: str) -> bytes:
        return content

    async with owned_tasks() as tasks:
        with pytest.raises(ProviderUnavailable):
            await Provider("https://id.example.org", garbage, tasks).find("one")


async def test_a_secret_that_is_published_is_none() -> None:
    secret = jwt.utils.base64url_encode(SECRET.encode()).decode()
    published = {"keys": [{"kty": "oct", "k": secret, "kid": "one", "alg": "HS256"}]}

    async def get(_: str) -> bytes:
        return json.dumps(published).encode()

    async with owned_tasks() as tasks:
        with pytest.raises(ProviderUnavailable):
            await Provider("https://id.example.org", get, tasks).find("one")


@pytest.fixture
async def served(published: Published) -> AsyncIterator[Published]:
    """The provider over HTTP, on loopback, and what an address that is none of its own can do."""

    async def keys(_: web.Request) -> web.Response:
        published.asked += 1
        return web.Response(body=published.content())

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/keys")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(bytes(2**14))
        return response

    app = web.Application()
    app.router.add_get("/keys", keys)
    app.router.add_get("/moved", moved)
    app.router.add_get("/endless", endless)
    async with TestServer(app, host="127.0.0.1") as server:
        published.url = str(server.make_url("/"))
        yield published


async def test_a_service_takes_tokens_of_the_provider_that_is_named(
    served: Published, tmp_path: Path
) -> None:
    flags = {"data": tmp_path / "data", "model": "none", "port": 0, "jwt_jwks_url": f"{served.url}keys"}
    async with open_ready(load_settings(flags)) as services, client_of(services) as client:
        for token, status in ((served.token("one"), 200), (served.token("two"), 401), ("a.b.c", 401)):
            answer = await client.get("/v1/info", headers={"Authorization": f"Bearer {token}"})
            assert answer.status == status
        assert (await client.get("/v1/info")).status == 401


@pytest.mark.parametrize(
    ("path", "reason"), [("gone", "404"), ("moved", "302"), ("endless", "more than 262144 bytes")]
)
async def test_what_an_address_may_answer_has_limits(served: Published, path: str, reason: str) -> None:
    with pytest.raises(OSError, match=reason):
        await fetch(f"{served.url}{path}")


async def test_an_address_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(fetching, "_WITHIN_S", 0.1)
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match=r"within 0\.1 s"):
            await fetch(f"http://127.0.0.1:{port}/")
    with pytest.raises(OSError, match="Cannot connect"):
        await fetch(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "url", ["http://id.example.org/keys", "ftp://127.0.0.1/keys", "keys.json", "https://"]
)
def test_keys_come_over_connections_that_nobody_can_change(url: str) -> None:
    with pytest.raises(SettingsError, match="jwt-jwks-url"):
        load_settings({"jwt_jwks_url": url})


async def test_tokens_have_keys_from_one_place(published: Published, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s" * 40)
    both = {"jwt_key_file": tmp_path / "key", "jwt_jwks_url": "https://id.example.org/keys"}
    async with open_keys(tmp_path) as keys:
        with pytest.raises(SettingsError, match="name one of them"):
            async with open_gate(load_settings(both), keys, LocalQuotas(), published.fetch):
                pass
