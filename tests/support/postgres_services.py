"""What a service has of a PostgreSQL that it shares with others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from index.postgres.catalog import PostgresCatalog, open_postgres_catalog
from index.postgres.database import Database
from index.postgres.opening import open_database


@asynccontextmanager
async def service(url: str, spool: Path, **options: Any) -> AsyncIterator[tuple[Database, PostgresCatalog]]:
    """What one service has of the collections in the database at ``url``."""
    async with open_database(url) as database, open_postgres_catalog(database, spool, **options) as catalog:
        yield database, catalog
