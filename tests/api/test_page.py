"""The web page as it is sent: its policy, its tags, its weight."""

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.ui.assets import load_assets

MOST_BYTES = 150_000


async def test_the_root_is_the_page(client: TestClient[Any, Any]) -> None:
    response = await client.get("/")
    assert (response.status, response.content_type) == (200, "text/html")
    assert await response.read() == load_assets()["index.html"].content


def test_every_file_that_is_named_exists_and_no_other_does() -> None:
    assets = load_assets()
    reference = re.compile(r'"(?:\./|/ui/)([a-z]+\.[a-z]+)"')
    named = {name for asset in assets.values() for name in reference.findall(asset.content.decode())}
    assert named | {"index.html"} == set(assets)


async def test_nothing_but_its_own_files_is_let_in(client: TestClient[Any, Any]) -> None:
    policy = (await client.get("/")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("name", sorted(load_assets()))
async def test_every_file_comes_typed_compressed_and_is_not_sent_twice(
    client: TestClient[Any, Any], name: str
) -> None:
    asset = load_assets()[name]
    first = await client.get(f"/ui/{name}", headers={"Accept-Encoding": "gzip"})
    assert (first.status, first.content_type) == (200, asset.media_type)
    assert first.headers["Content-Encoding"] == "gzip"
    assert await first.read() == asset.content
    again = await client.get(f"/ui/{name}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    plain = await client.get(
        f"/ui/{name}", headers={"Accept-Encoding": "identity", "If-None-Match": '"older"'}
    )
    assert "Content-Encoding" not in plain.headers
    assert await plain.read() == asset.content


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fassets.py", "%2e%2e%2fassets.py"])
async def test_no_other_file_is_sent(client: TestClient[Any, Any], name: str) -> None:
    assert (await client.get(f"/ui/{name}")).status == 404


def test_all_of_it_is_light_before_any_compression() -> None:
    assets = load_assets()
    assert sum(len(asset.content) for asset in assets.values()) <= MOST_BYTES
    assert all(gzip.decompress(asset.compressed) == asset.content for asset in assets.values())


def test_nothing_in_it_names_another_host_or_parses_text_as_markup() -> None:
    for name, asset in load_assets().items():
        text = asset.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, name
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval("):
            assert way not in text, name


def test_its_files_stay_small_enough_to_be_read() -> None:
    folder = Path(__file__).parents[2] / "api" / "ui" / "static"
    assert {
        file.name for file in folder.iterdir() if len(file.read_text("utf-8").splitlines()) >= 300
    } == set()
