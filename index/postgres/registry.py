"""Collections and aliases as rows: each change is one transaction, and changes of all services are one after
the other.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import asyncpg

from index.codec import decode_json, encode_json
from index.collection_settings import differences, usual_quantization
from index.errors import CollectionExists, CollectionNotFound, NameTaken, StoreUnavailable
from index.postgres import tables
from index.postgres.database import Connection, Database, Record
from index.postgres.notices import notify
from index.postgres.tables import Tables
from index.postgres.text import askable, decode_text, encode_text
from index.rows import CollectionSettings

_SECRET_BYTES: Final = 16
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('embedd catalog'), hashtext(current_schema()))"
_ENTRIES: Final = (
    "SELECT c.key, c.name, c.settings, c.description, c.secret,"
    " ARRAY(SELECT alias FROM aliases WHERE collection = c.key) FROM collections AS c"
)
_ADD: Final = (
    "INSERT INTO collections (name, settings, description, secret, created_at)"
    " VALUES ($1, $2, $3, $4, clock_timestamp()) RETURNING key"
)
_ASSIGN: Final = (
    "INSERT INTO aliases (alias, collection) VALUES ($1, $2)"
    " ON CONFLICT (alias) DO UPDATE SET collection = excluded.collection"
)
_TARGETS: Final = (
    "SELECT a.alias, c.name FROM aliases AS a JOIN collections AS c ON c.key = a.collection"
    " WHERE a.alias = ANY($1)"
)
_DROP_WAITS: Final = "3s"
_DROP_TRIES: Final = 40
# Searches and writes are over soon; a graph may be built for hours.
_END_BUILDS: Final = (
    "SELECT pg_cancel_backend(b.pid)"
    " FROM pg_stat_progress_create_index AS b JOIN pg_stat_activity AS a USING (pid)"
    " WHERE b.relid = to_regclass($1) AND b.datname = current_database() AND a.usename = current_user"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A collection as the registry has it."""

    tables: Tables
    settings: CollectionSettings
    secret: bytes
    aliases: Sequence[str]


async def entries(database: Database) -> list[Entry]:
    """All collections, in one committed state."""
    return [_entry(row) for row in await database.fetch(_ENTRIES)]


def _entry(row: Record) -> Entry:
    key, name, settings, description, secret, aliases = row
    return Entry(Tables(key), _settings(name, settings, description), secret, aliases)


def _settings(name: str, settings: str, description: str) -> CollectionSettings:
    kept: dict[str, Any] = decode_json(settings)
    return CollectionSettings(name=name, description=decode_text(description), **kept)


async def create(database: Database, settings: CollectionSettings) -> bool:
    """Make a collection; gives whether it is new. One that has exactly these settings is as good.

    Raises:
        NameTaken: the name is an alias.
        CollectionExists: it has other settings.
    """
    async with _change(database) as connection:
        await _refuse_alias(connection, settings.name, "create a collection of another name")
        row = await connection.fetchrow(f"{_ENTRIES} WHERE c.name = $1", settings.name)
        existing = _entry(row).settings if row else None
        if settings.quantization is None:
            usual = existing.quantization if existing else usual_quantization(settings)
            settings = replace(settings, quantization=usual)
        if existing is not None:
            if different := differences(existing, settings):
                raise CollectionExists(settings.name, different)
            return False
        await _add(connection, settings)
        await notify(connection)
        return True


async def _add(connection: Connection, settings: CollectionSettings) -> None:
    kept = asdict(settings)
    name, description = kept.pop("name"), encode_text(kept.pop("description"))
    secret = secrets.token_bytes(_SECRET_BYTES)
    key = await connection.fetchval(_ADD, name, encode_json(kept), description, secret)
    await connection.execute("; ".join(tables.create(Tables(key), settings.dim)))


async def drop(database: Database, name: str) -> None:
    """Remove a collection with all that is in it, and its aliases, behind what is under way in it.

    Raises:
        CollectionNotFound: there is none.
        NameTaken: the name is an alias.
        StoreUnavailable: it is in use for too long.
    """
    for _ in range(_DROP_TRIES - 1):
        try:
            await _drop(database, name)
        except StoreUnavailable as error:
            if not isinstance(error.__cause__, asyncpg.LockNotAvailableError):
                raise
        else:
            return
    await _drop(database, name)


async def _drop(database: Database, name: str) -> None:
    """Remove it, unless it is in use for so long that others should have their turn at the registry first."""
    async with _change(database) as connection:
        await connection.execute(f"SET LOCAL lock_timeout = '{_DROP_WAITS}'")
        await _refuse_alias(connection, name, "delete the collection by its own name, or only the alias")
        sql = "DELETE FROM collections WHERE name = ANY($1) RETURNING key"
        key = await connection.fetchval(sql, askable([name]))
        if key is None:
            raise CollectionNotFound(name)
        await connection.execute(_END_BUILDS, Tables(key).passages)
        await connection.execute(tables.drop(Tables(key)))
        await notify(connection)


async def assign(database: Database, alias: str, name: str) -> bool:
    """Let ``alias`` stand for the collection ``name``; gives whether it is new.

    Raises:
        NameTaken: a collection has it, or ``name`` is an alias itself.
        CollectionNotFound: there is no collection ``name``.
    """
    async with _change(database) as connection:
        if await _key(connection, alias) is not None:
            raise NameTaken(alias, "is a collection: choose another name for the alias")
        await _refuse_alias(connection, name, "name the collection itself")
        key = await _existing_key(connection, name)
        is_new = not await _targets(connection, [alias])
        await connection.execute(_ASSIGN, alias, key)
        await notify(connection)
        return is_new


async def switch(database: Database, aliases: Sequence[str], old: str, new: str) -> None:
    """Give aliases of the collection ``old`` to ``new``, all at once; those that it has already stay.

    Raises:
        NameTaken: one of them is another's, or none.
        CollectionNotFound: there is no collection ``new``.
    """
    async with _change(database) as connection:
        key = await _existing_key(connection, new)
        targets = await _targets(connection, aliases)
        for alias in aliases:
            if targets.get(alias) not in (old, new):
                raise NameTaken(alias, f"is no alias of {old!r}")
        for alias in aliases:
            await connection.execute(_ASSIGN, alias, key)
        await notify(connection)


async def unassign(database: Database, alias: str) -> bool:
    """Take an alias away; gives whether it was there."""
    async with _change(database) as connection:
        sql = "DELETE FROM aliases WHERE alias = ANY($1) RETURNING alias"
        was_there = await connection.fetchval(sql, askable([alias])) is not None
        await notify(connection)
        return was_there


@asynccontextmanager
async def _change(database: Database) -> AsyncIterator[Connection]:
    """A transaction in which nobody else changes the registry."""
    async with database.transaction() as connection:
        await connection.execute(_LOCK)
        yield connection


async def _key(connection: Connection, name: str) -> int | None:
    key: int | None = await connection.fetchval(
        "SELECT key FROM collections WHERE name = ANY($1)", askable([name])
    )
    return key


async def _existing_key(connection: Connection, name: str) -> int:
    key = await _key(connection, name)
    if key is None:
        raise CollectionNotFound(name)
    return key


async def _targets(connection: Connection, aliases: Sequence[str]) -> dict[str, str]:
    """The collection that each of these stands for which is an alias."""
    return {row[0]: row[1] for row in await connection.fetch(_TARGETS, askable(aliases))}


async def _refuse_alias(connection: Connection, name: str, instead: str) -> None:
    if target := (await _targets(connection, [name])).get(name):
        raise NameTaken(name, f"is an alias of {target!r}: {instead}")
