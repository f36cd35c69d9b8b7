"""Bringing a schema of the database to the newest format, in one transaction.

What is in a schema belongs to several parts of the service; each counts its own steps in the table
``version``. Services that start at once wait for each other.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from index.errors import DatabaseUnusable, DataTooNew
from index.migrations import STEPS
from index.postgres.database import Connection

Steps = Sequence[Sequence[str]]
"""The statements of each step; one that concerns only other places where such data lies has none."""

COLLECTIONS: Final = "collections"
_STEPS: Final[Steps] = tuple(step.postgres for step in STEPS)
_VERSION: Final = "CREATE TABLE IF NOT EXISTS version (part text PRIMARY KEY, number integer NOT NULL)"


async def migrate(connection: Connection, schema: str, parts: Mapping[str, Steps] | None = None) -> None:
    """Make ``schema`` if it is not there, and take it through the steps of the collections and of ``parts``.

    Raises:
        DataTooNew: a newer version of this program was here; nothing was touched.
        DatabaseUnusable: the schema is somebody else's.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('embedd'), hashtext($1))", schema)
        await _claim(connection, schema)
        for part, steps in {COLLECTIONS: _STEPS, **(parts or {})}.items():
            await _advance(connection, part, steps)


async def _claim(connection: Connection, schema: str) -> None:
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    names = {row["tablename"] for row in tables}
    if names and "version" not in names:
        raise DatabaseUnusable(
            f"the schema {schema!r} has tables of something else, {min(names)!r} among them:"
            " name another with ?schema= in the URL"
        )
    if not names:
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    await connection.execute(_VERSION)


async def _advance(connection: Connection, part: str, steps: Steps) -> None:
    found = await connection.fetchval("SELECT number FROM version WHERE part = $1", part) or 0
    if found > len(steps):
        raise DataTooNew(found, len(steps))
    if found == len(steps):
        return
    await connection.execute("; ".join(statement for step in steps[found:] for statement in step))
    await connection.execute(
        "INSERT INTO version VALUES ($1, $2) ON CONFLICT (part) DO UPDATE SET number = excluded.number",
        part,
        len(steps),
    )
