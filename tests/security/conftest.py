"""One service that asks for keys, over the fake model, with two collections, for all tests of this folder."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import client_of, expect, open_ready

from api.schemas_keys import KeyRequest
from api.security.contract import draft_of
from api.services.container import Services
from api.settings import Settings, load_settings

ADMIN_KEY = "the-key-of-the-administrator-in-a-file"

MakeKey = Callable[..., Awaitable[dict[str, str]]]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("security")
    (folder / "admin").write_text(f"{ADMIN_KEY}\n")
    return load_settings(
        {"data": folder / "data", "model": "fake", "port": 0, "admin_key_file": folder / "admin"}
    )


@pytest.fixture(scope="session")
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_ready(settings) as services:
        yield services


@pytest.fixture(scope="session")
async def client(services: Services) -> AsyncIterator[TestClient[Any, Any]]:
    async with client_of(services) as client:
        for name in ("open", "secret"):
            path = f"/v1/collections/{name}"
            await expect(await client.put(path, json={}, headers=bearer(ADMIN_KEY)), 201)
            documents = [
                {"id": f"{name}-all", "text": f"The harbour of {name} opens at nine."},
                {"id": f"{name}-sea", "text": f"The harbour of {name} closes at ten.", "acl": ["sea"]},
                {"id": f"{name}-air", "text": f"The airport of {name} never closes.", "acl": ["air"]},
            ]
            answer = await client.post(
                f"{path}/documents?wait=true", json={"documents": documents}, headers=bearer(ADMIN_KEY)
            )
            await expect(answer, 200)
        alias = {"collection": "secret"}
        await expect(await client.put("/v1/aliases/other", json=alias, headers=bearer(ADMIN_KEY)), 201)
        yield client


@pytest.fixture
def admin() -> dict[str, str]:
    return bearer(ADMIN_KEY)


@pytest.fixture
def make_key(services: Services) -> MakeKey:
    """Makes a key; gives the headers that carry it."""

    async def make(**fields: Any) -> dict[str, str]:
        _, whole = await services.gate.keys.create(draft_of(KeyRequest(name="test", **fields)))
        return bearer(whole)

    return make


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
