"""What belongs to a data folder beside its collections, read beside its service, or written without one."""

# ruff: noqa: S608 - statements are put together from constants; values are bound.

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from api.conversations import sqlite_store
from api.security import key_store
from api.services import model_rows
from api.services.belongings import (
    CONVERSATION_COLUMNS,
    KEY_COLUMNS,
    MESSAGE_COLUMNS,
    MODEL_COLUMNS,
    Row,
)
from index.codec import timestamp
from index.database import BUSY_TIMEOUT_S, open_file, translate
from index.migrations import Migration

T = TypeVar("T")

_FILES: Final[Mapping[str, Sequence[Migration]]] = {
    key_store.FILE_NAME: key_store.MIGRATIONS,
    model_rows.FILE_NAME: model_rows.MIGRATIONS,
    sqlite_store.FILE_NAME: sqlite_store.MIGRATIONS,
}
_SIZES: Final = (
    "SELECT c.id, (SELECT count(*) FROM messages AS m WHERE m.conversation = c.id) FROM conversations AS c"
    " WHERE c.expires_at IS NULL OR c.expires_at > ?"
)
_CONVERSATION: Final = f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE id = ?"
_MESSAGES: Final = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = ? ORDER BY position"
_ADD_KEY: Final = (
    f"INSERT INTO keys ({KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET revoked_at = coalesce(revoked_at, excluded.revoked_at)"
)
_ADD_MODEL: Final = (
    f"INSERT INTO models ({MODEL_COLUMNS}, standing, reason)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'registered', '') ON CONFLICT DO NOTHING"
)
_ADD_CONVERSATION: Final = (
    f"INSERT INTO conversations ({CONVERSATION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at, expires_at = excluded.expires_at"
)
_COUNT: Final = "SELECT count(*) FROM messages WHERE conversation = ?"
_ADD_MESSAGE: Final = f"INSERT INTO messages (conversation, {MESSAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"


class FolderBelongings:
    """Implements ``api.services.belongings.Belongings``; a file that is not there has nothing in it."""

    def __init__(self, data: Path) -> None:
        self._data = data

    async def keys(self) -> list[Row]:
        return await self._read(key_store.FILE_NAME, f"SELECT {KEY_COLUMNS} FROM keys")

    async def models(self) -> list[Row]:
        return await self._read(model_rows.FILE_NAME, f"SELECT {MODEL_COLUMNS} FROM models")

    async def sizes(self) -> dict[str, int]:
        return dict(await self._read(sqlite_store.FILE_NAME, _SIZES, timestamp()))

    async def conversation(self, id: str) -> tuple[Row, list[Row]] | None:
        # Messages first: those that are appended in between are for the next time.
        messages = await self._read(sqlite_store.FILE_NAME, _MESSAGES, id)
        found = await self._read(sqlite_store.FILE_NAME, _CONVERSATION, id)
        return (found[0], messages) if found else None

    async def add_keys(self, rows: Sequence[Row]) -> None:
        if rows:
            await self._write(key_store.FILE_NAME, lambda it: it.executemany(_ADD_KEY, rows))

    async def add_models(self, rows: Sequence[Row]) -> None:
        if rows:
            await self._write(model_rows.FILE_NAME, lambda it: it.executemany(_ADD_MODEL, rows))

    async def add_conversation(self, row: Row, messages: Sequence[Row]) -> None:
        def add(connection: sqlite3.Connection) -> None:
            there: int = connection.execute(_COUNT, row[:1]).fetchone()[0]
            connection.execute(_ADD_CONVERSATION, row)
            connection.executemany(_ADD_MESSAGE, [(row[0], *message) for message in messages[there:]])

        await self._write(sqlite_store.FILE_NAME, add)

    async def _read(self, name: str, sql: str, *values: str) -> list[Row]:
        return await asyncio.to_thread(_rows, self._data / name, sql, values)

    async def _write(self, name: str, work: Callable[[sqlite3.Connection], object]) -> None:
        await asyncio.to_thread(_carry_out, self._data / name, _FILES[name], work)


def _rows(path: Path, sql: str, values: Sequence[str]) -> list[Row]:
    if not path.exists():
        return []
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)) as connection:
            return connection.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise translate(error, path) from error


def _carry_out(path: Path, steps: Sequence[Migration], work: Callable[[sqlite3.Connection], object]) -> None:
    with closing(open_file(path, steps)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            work(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise translate(error, path) from error
