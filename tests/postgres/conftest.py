"""Catalogs of several services on one database."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cutting_proxy import CuttingProxy, cutting_proxy
from postgres_server import PostgresServer
from postgres_services import service
from store_samples import settings_of

from index.postgres.catalog import PostgresCatalog
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database
from index.postgres.opening import open_database


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[CuttingProxy]:
    """In front of the server: what goes through can be cut off."""
    async with cutting_proxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with open_database(postgres_url) as database:
        yield database


@pytest.fixture
async def catalogs(
    postgres_url: str, tmp_path: Path
) -> AsyncIterator[tuple[PostgresCatalog, PostgresCatalog]]:
    """Of two services that share a database."""
    async with AsyncExitStack() as stack:
        _, one = await stack.enter_async_context(service(postgres_url, tmp_path / "one"))
        _, other = await stack.enter_async_context(service(postgres_url, tmp_path / "other"))
        yield one, other


@pytest.fixture
async def both(
    catalogs: tuple[PostgresCatalog, PostgresCatalog],
) -> tuple[PostgresCollection, PostgresCollection]:
    """The collection "notes" as each of two services has it."""
    await catalogs[0].create(settings_of())
    return await catalogs[0].get("notes"), await catalogs[1].get("notes")
