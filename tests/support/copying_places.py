"""Places that collections are copied from and into."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from index.catalog import Catalog, open_catalog
from index.catalogs import Collections
from index.copying.catalog import CatalogCopy
from index.copying.marks import FolderMarks, Marks
from index.growth import GraphTuning
from index.postgres.catalog import open_postgres_catalog
from index.postgres.copy_marks import PARTS, PostgresMarks
from index.postgres.opening import open_database

Place: TypeAlias = tuple[Collections, Marks]
MakeCopy: TypeAlias = Callable[..., CatalogCopy]


@asynccontextmanager
async def opened_folder(folder: Path) -> AsyncIterator[tuple[Catalog, Marks]]:
    """A data folder without graphs."""
    async with open_catalog(folder, GraphTuning(threshold=10**9)) as catalog:
        yield catalog, FolderMarks(folder)


@asynccontextmanager
async def opened_postgres(url: str, spool: Path) -> AsyncIterator[Place]:
    """The collections in a PostgreSQL."""
    async with open_database(url, PARTS) as database, open_postgres_catalog(database, spool) as catalog:
        yield catalog, PostgresMarks(database)
