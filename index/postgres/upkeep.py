"""What is done in the database when nobody waits for it: what has expired is deleted, what is old is
forgotten, and what searches want is built.

Every service does it, and finds little to do where another one has done it. Reads leave out what has expired
by themselves.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import structlog

from index.errors import CollectionNotFound, StoreError
from index.history import REMEMBERED
from index.idempotency import KEPT
from index.postgres import changes, deletion, idempotency, vector_index
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database
from index.postgres.tables import Tables
from index.postgres.uploads import ABOUT_TO_BE_KEPT
from index.postgres.writer import Write

EVERY_S: Final = 15.0
# Documents deleted in one transaction: other writes get their turn in between.
_BATCH: Final = 500
_WORKS: Final[Sequence[Write[int]]] = (
    partial(deletion.delete_expired, limit=_BATCH),
    idempotency.forget,
    changes.forget,
)


class Upkeep:
    """Once every ``every_s``."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s

    async def run(self, database: Database, collections: Callable[[], Sequence[PostgresCollection]]) -> None:
        """Look after all of them, until cancelled. Nothing else waits for a graph, which may take hours."""
        async with asyncio.TaskGroup() as group:
            for work in (keep, build):
                group.create_task(self._each(partial(work, database), collections))

    async def _each(
        self,
        work: Callable[[PostgresCollection], Awaitable[None]],
        collections: Callable[[], Sequence[PostgresCollection]],
    ) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            for collection in collections():
                try:
                    await work(collection)
                except CollectionNotFound:
                    continue
                except StoreError as error:
                    structlog.get_logger().warning(
                        "collection_not_kept", collection=collection.settings.name, reason=str(error)
                    )


async def keep(database: Database, collection: PostgresCollection) -> None:
    """Do what there is to do in one collection."""
    tables = collection.tables
    due = await database.row(_due(tables), tables.key, KEPT, REMEMBERED, ABOUT_TO_BE_KEPT)
    assert due is not None
    *works_due, has_files_of_no_job = due
    for is_due, work in zip(works_due, _WORKS, strict=True):
        while is_due and await collection.keep_up(work):
            pass
    if has_files_of_no_job:
        await collection.uploads.sweep(await collection.unfinished_jobs())


async def build(database: Database, collection: PostgresCollection) -> None:
    """The index by which its vectors are searched."""
    await vector_index.keep(database, collection.tables, collection.settings)


def _due(tables: Tables) -> str:
    """Whether there is something for each of ``_WORKS``, and whether there are files without a job."""
    old = "WHERE collection = $1 AND {} <= clock_timestamp() - {}::interval"
    return (
        f"SELECT EXISTS (SELECT 1 FROM {tables.documents} WHERE expires_at <= statement_timestamp()),"
        f" EXISTS (SELECT 1 FROM idempotency {old.format('created_at', '$2')}),"
        f" EXISTS (SELECT 1 FROM deletions {old.format('deleted_at', '$3')}),"
        f" EXISTS (SELECT 1 FROM uploads AS u {old.format('created_at', '$4')} AND NOT EXISTS"
        " (SELECT 1 FROM jobs WHERE collection = $1 AND id = u.job AND finished_at IS NULL))"
    )
