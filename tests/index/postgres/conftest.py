"""A database for the tests of one file's kind, and collections in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from index.postgres.catalog import PostgresCatalog, open_postgres_catalog
from index.postgres.database import Database
from index.postgres.opening import open_database


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """With the tables of the service in a schema of the test's own."""
    async with open_database(postgres_url) as opened:
        yield opened


@pytest.fixture
async def catalog(database: Database, tmp_path: Path) -> AsyncIterator[PostgresCatalog]:
    async with open_postgres_catalog(database, tmp_path) as opened:
        yield opened
