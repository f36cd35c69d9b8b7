"""Web pages of strangers, names that were made to lead here, and whoever reaches a machine without keys."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import client_of, expect

from api import app
from api.app import open_services
from api.http.routes import ROUTES
from api.security.gate import ExposedWithoutKeysError, check_exposure
from api.services.container import Services
from api.settings import load_settings

Client = TestClient[Any, Any]

CHAT_PAGE = "https://chat.example.org"


@pytest.fixture(scope="module")
async def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """Without keys, on loopback."""
    settings = load_settings(
        {
            "data": tmp_path_factory.mktemp("keyless") / "data",
            "model": "none",
            "port": 0,
            "allowed_origins": (CHAT_PAGE,),
            "allowed_hosts": ("embedd.internal",),
        }
    )
    async with open_services(settings) as services:
        yield services


@pytest.fixture(scope="module")
async def keyless(open_to_all: Services) -> AsyncIterator[Client]:
    async with client_of(open_to_all) as client:
        yield client


def path_of(route: Any) -> str:
    return (
        str(route.path)
        .replace("{name}", "x")
        .replace("{id}", "x")
        .replace("{id:.+}", "x")
        .replace("{file}", "x")
    )


async def test_a_name_that_was_made_to_lead_here_opens_no_route(keyless: Client) -> None:
    for route in ROUTES:
        headers = {"Host": f"evil.example:{keyless.port}"}
        response = await keyless.request(route.method, path_of(route), headers=headers)
        assert response.status == 421, route.path
        assert "allowed_hosts" in await response.text()


@pytest.mark.parametrize(
    "host",
    [
        "localhost:1",
        "LOCALHOST",
        "app.localhost:8080",
        "127.0.0.1",
        "127.8.0.1:99",
        "[::1]:80",
        "embedd.internal",
    ],
)
async def test_names_of_this_machine_and_those_allowed_open_it(keyless: Client, host: str) -> None:
    await expect(await keyless.get("/v1/info", headers={"Host": host}), 200)


@pytest.mark.parametrize(
    "host", ["", "evil", "127.0.0.1.evil.example", "localhost.evil.example", "[::1", "0.0.0.0", "10.0.0.1"]
)
async def test_other_names_do_not(keyless: Client, host: str) -> None:
    assert (await keyless.get("/v1/info", headers={"Host": host})).status == 421


async def test_with_keys_any_name_may_lead_here(client: Client, admin: dict[str, str]) -> None:
    await expect(await client.get("/v1/info", headers=admin | {"Host": "embedd.example.org"}), 200)


async def test_keys_that_come_where_none_are_needed_are_ignored(keyless: Client) -> None:
    await expect(await keyless.get("/v1/info", headers={"Authorization": "Bearer sk-any"}), 200)


async def test_every_response_tells_browsers_to_make_no_more_of_it(keyless: Client) -> None:
    for path in ("/healthz", "/v1/info", "/nothing", "/docs", "/", "/ui/app.js"):
        headers = (await keyless.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Referrer-Policy"] == "no-referrer", path
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
    assert (await keyless.get("/v1/info")).headers["Cache-Control"] == "no-store"


async def test_an_allowed_page_may_ask_and_read(keyless: Client) -> None:
    asks = {
        "Origin": CHAT_PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    }
    preflight = await keyless.options("/v1/chat/completions", headers=asks)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == CHAT_PAGE
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
    answer = await keyless.get("/v1/info", headers={"Origin": CHAT_PAGE})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == CHAT_PAGE
    assert "Origin" in answer.headers.getall("Vary")
    refused = await keyless.get("/v1/nothing", headers={"Origin": CHAT_PAGE})
    assert refused.headers["Access-Control-Allow-Origin"] == CHAT_PAGE


async def test_pages_of_strangers_may_neither_ask_nor_read(keyless: Client) -> None:
    for origin in ("https://evil.example", "null", f"{CHAT_PAGE}.evil.example"):
        asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await keyless.options("/v1/chat/completions", headers=asks)
        assert preflight.status == 405
        answer = await keyless.get("/v1/info", headers={"Origin": origin})
        assert answer.status == 403
        for response in (preflight, answer):
            assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
async def test_without_keys_nobody_but_this_machine_is_served(open_to_all: Services, host: str) -> None:
    settings = load_settings({"host": host})
    with pytest.raises(ExposedWithoutKeysError, match="embedd keys create"):
        check_exposure(settings, is_open=open_to_all.gate.is_open)
    check_exposure(load_settings({"host": host, "insecure_without_keys": True}), is_open=True)


async def test_with_keys_everybody_may_reach_it(services: Services) -> None:
    check_exposure(load_settings({"host": "0.0.0.0"}), is_open=services.gate.is_open)


@pytest.fixture
def process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a service changes of the process that it usually has for itself stays as it is."""
    monkeypatch.setattr(app, "configure_logging", lambda *_: None)
    monkeypatch.setattr(app, "disable_created_metrics", lambda: None)


@pytest.mark.usefixtures("process_as_it_was")
def test_a_service_that_would_be_exposed_does_not_start(tmp_path: Path) -> None:
    settings = load_settings({"host": "0.0.0.0", "data": tmp_path / "data", "model": "none", "port": 0})
    assert app.run(settings, lambda: settings) == 1


@pytest.mark.parametrize("content", ["", "short", "a key with blanks that is long enough", "\udcff" * 40])
@pytest.mark.usefixtures("process_as_it_was")
def test_a_key_file_that_holds_no_key_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    for file in (path, tmp_path / "missing"):
        read = partial(load_settings, {"data": tmp_path / "data", "model": "none", "admin_key_file": file})
        assert app.run(read(), read) == 1
