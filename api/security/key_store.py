"""Keys in a SQLite file of the service, and all of them in memory, where requests look them up.

One thread writes, with an fsync before anybody hears of it. Only the process that has the data folder opens
the file, so memory is what the file says. Keys that were revoked or have expired are kept: a service that had
keys once never serves strangers again, and logs name keys for longer than these live.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from api.errors import Conflict, NotFound
from api.security.identity import Quota, Scope
from api.security.keys import Draft, Key, mint, revoked
from index.database import read_rows
from index.writer import Change, Writer, open_writer

FILE_NAME: Final = "keys.db"
MOST_KEYS: Final = 10_000
COLUMNS: Final = (
    "id, name, digest, scope, created_at, collections, acl, expires_at, revoked_at,"
    " requests_per_minute, tokens_per_minute"
)


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE keys (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            digest BLOB NOT NULL,
            scope TEXT NOT NULL,
            created_at TEXT NOT NULL,
            collections TEXT,
            acl TEXT,
            expires_at TEXT,
            revoked_at TEXT,
            requests_per_minute INTEGER,
            tokens_per_minute INTEGER
        ) STRICT, WITHOUT ROWID"""
    )


MIGRATIONS: Final = (_create_tables,)


class Keys(Protocol):
    """All keys, in memory."""

    @property
    def is_empty(self) -> bool:
        """Whether there was never a key."""
        ...

    def find(self, id: str) -> Key | None:
        """The key of that id.

        Raises:
            StorageFailed: it may have been revoked elsewhere, and nobody can say.
        """
        ...

    def all(self) -> list[Key]:
        """Those that are revoked or have expired too, oldest first."""
        ...

    async def create(self, draft: Draft) -> tuple[Key, str]:
        """A new key, and the whole of it, which is told once and kept nowhere.

        Raises:
            Conflict: there are too many.
            StorageFailed, StorageFull: it is not kept.
        """
        ...

    async def revoke(self, id: str) -> Key:
        """The key, which from now on opens nothing; one that is revoked already stays as it is.

        Raises:
            NotFound: there is no such key.
            StorageFailed, StorageFull: it is not revoked.
        """
        ...


class KeyStore:
    """All keys of one data folder; made by `open_keys`."""

    def __init__(self, writer: Writer, keys: Sequence[Key]) -> None:
        self._writer = writer
        self._keys = {key.id: key for key in keys}

    @property
    def is_empty(self) -> bool:
        return not self._keys

    def find(self, id: str) -> Key | None:
        return self._keys.get(id)

    def all(self) -> list[Key]:
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    async def create(self, draft: Draft) -> tuple[Key, str]:
        if len(self._keys) >= MOST_KEYS:
            raise too_many(len(self._keys))
        key, whole = mint(draft)
        row, places = row_of(key), ", ".join("?" * len(row_of(key)))

        def insert(connection: sqlite3.Connection) -> Change[None]:
            connection.execute(f"INSERT INTO keys ({COLUMNS}) VALUES ({places})", row)  # noqa: S608
            return Change(None)

        await self._writer.submit(insert)
        self._keys[key.id] = key
        return key, whole

    async def revoke(self, id: str) -> Key:
        key = self._keys.get(id)
        if key is None:
            raise unknown(id)
        ended = revoked(key)

        def update(connection: sqlite3.Connection) -> Change[None]:
            connection.execute("UPDATE keys SET revoked_at = ? WHERE id = ?", (ended.revoked_at, id))
            return Change(None)

        await self._writer.submit(update)
        self._keys[id] = ended
        return ended


def too_many(count: int) -> Conflict:
    return Conflict(f"there are {count} keys, the limit is {MOST_KEYS}", code="too_many_keys")


def unknown(id: str) -> NotFound:
    return NotFound(f"there is no key {id[:80]!r}", code="key_not_found")


def row_of(key: Key) -> tuple[Any, ...]:
    """A key as it lies in a table, in the order of ``COLUMNS``."""
    return (
        key.id,
        key.name,
        key.digest,
        key.scope.value,
        key.created_at,
        None if key.collections is None else json.dumps(list(key.collections)),
        None if key.acl is None else json.dumps(list(key.acl)),
        key.expires_at,
        key.revoked_at,
        key.quota.requests_per_minute,
        key.quota.tokens_per_minute,
    )


def key_of(row: Sequence[Any]) -> Key:
    """The key that lies so in a table."""
    id, name, digest, scope, created_at, collections, acl, expires_at, revoked_at, *quota = row
    return Key(
        id=id,
        name=name,
        digest=digest,
        scope=Scope(scope),
        created_at=created_at,
        collections=None if collections is None else json.loads(collections),
        acl=None if acl is None else json.loads(acl),
        expires_at=expires_at,
        revoked_at=revoked_at,
        quota=Quota(*quota),
    )


@asynccontextmanager
async def open_keys(data: Path) -> AsyncIterator[KeyStore]:
    """The keys in ``data``, which this process alone has.

    Raises:
        StoreError: the file cannot be opened or read, or a newer version wrote it.
    """
    async with open_writer(data / FILE_NAME, MIGRATIONS) as (connection, writer):
        rows = await asyncio.to_thread(read_rows, connection, f"SELECT {COLUMNS} FROM keys")  # noqa: S608
        yield KeyStore(writer, [key_of(row) for row in rows])
