"""A shared catalog as what is copied from, and as what is copied into."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from api.shared.belongings import SharedBelongings
from api.shared.tables import PARTS
from index.postgres import copy_marks
from index.postgres.catalog import PostgresCatalog, open_postgres_catalog
from index.postgres.copy_marks import PostgresMarks
from index.postgres.database import Database
from index.postgres.opening import open_database
from index.postgres.upkeep import Upkeep

# A graph that is built while a collection is filled slows down every row; services build it when they start.
_NO_UPKEEP: Final = Upkeep(every_s=7 * 24 * 3600.0)


@asynccontextmanager
async def open_shared_source(url: str) -> AsyncIterator[tuple[PostgresCatalog, SharedBelongings]]:
    """The collections in the PostgreSQL at ``url``, and what else is in it.

    Raises:
        StoreError: it cannot be used or reached.
    """
    async with open_database(url, PARTS) as database, _catalog(database) as catalog:
        yield catalog, SharedBelongings(database)


@asynccontextmanager
async def open_shared_target(
    url: str,
) -> AsyncIterator[tuple[PostgresCatalog, PostgresMarks, SharedBelongings]]:
    """As ``open_shared_source``, with the marks of copies into it.

    Raises:
        StoreError: it cannot be used or reached.
    """
    async with (
        open_database(url, {**PARTS, **copy_marks.PARTS}) as database,
        _catalog(database) as catalog,
    ):
        yield catalog, PostgresMarks(database), SharedBelongings(database)


@asynccontextmanager
async def _catalog(database: Database) -> AsyncIterator[PostgresCatalog]:
    with tempfile.TemporaryDirectory() as spool:
        async with open_postgres_catalog(database, Path(spool), upkeep=_NO_UPKEEP) as catalog:
            yield catalog
