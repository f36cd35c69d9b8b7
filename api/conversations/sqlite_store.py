"""Conversations in a SQLite file of their own, beside the collections.

They are no collection's, and no collection waits for them. One thread writes, in groups with one fsync each,
and acknowledges what is on disk; another reads what was committed.
"""

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiosqlite

from api.conversations.records import BEHIND_ALL, MOST_MESSAGES, Conversation, Message, expiry
from api.conversations.store import full, not_found
from index.codec import timestamp
from index.database import BUSY_TIMEOUT_S, translate
from index.writer import Change, Writer, open_writer

FILE_NAME: Final = "conversations.db"
# Removed in one transaction, so that nobody waits long for it.
_SWEPT_AT_ONCE: Final = 100
_COLUMNS: Final = (
    "c.id, c.title, c.model, c.retrieval, c.metadata, c.created_at, c.updated_at, c.expires_at, c.lasts,"
    " (SELECT count(*) FROM messages AS m WHERE m.conversation = c.id)"
)
_LIVING: Final = "(c.expires_at IS NULL OR c.expires_at > ?)"


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            model TEXT,
            retrieval TEXT,
            metadata TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            expires_at TEXT,
            lasts REAL
        ) STRICT, WITHOUT ROWID"""
    )
    connection.execute(
        "CREATE INDEX conversations_by_expiry ON conversations (expires_at) WHERE expires_at IS NOT NULL"
    )
    connection.execute(
        """CREATE TABLE messages (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            id TEXT NOT NULL,
            role TEXT NOT NULL,
            content TEXT NOT NULL,
            created_at TEXT NOT NULL,
            details TEXT NOT NULL
        ) STRICT"""
    )
    connection.execute("CREATE INDEX messages_of_conversation ON messages (conversation, position)")


MIGRATIONS: Final = (_create_tables,)


class SqliteConversations:
    """A `ConversationStore`; made by `open_sqlite`."""

    def __init__(self, writer: Writer, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader

    async def create(self, conversation: Conversation) -> None:
        row = (
            conversation.id,
            conversation.title,
            conversation.model,
            None if conversation.retrieval is None else json.dumps(conversation.retrieval),
            json.dumps(conversation.metadata),
            conversation.created_at,
            conversation.updated_at,
            conversation.expires_at,
            conversation.lasts,
        )

        def insert(connection: sqlite3.Connection) -> Change[None]:
            connection.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            return Change(None)

        await self._writer.submit(insert)

    async def get(self, id: str) -> Conversation:
        rows = await self._rows(
            f"SELECT {_COLUMNS} FROM conversations AS c WHERE c.id = ? AND {_LIVING}",  # noqa: S608
            (id, timestamp()),
        )
        if not rows:
            raise not_found(id)
        return _conversation(rows[0])

    async def page(self, limit: int, after: str | None = None) -> list[Conversation]:
        rows = await self._rows(
            f"SELECT {_COLUMNS} FROM conversations AS c WHERE c.id < ? AND {_LIVING}"  # noqa: S608
            " ORDER BY c.id DESC LIMIT ?",
            (after or BEHIND_ALL, timestamp(), limit),
        )
        return [_conversation(row) for row in rows]

    async def delete(self, id: str) -> bool:
        def remove(connection: sqlite3.Connection) -> Change[bool]:
            sql = f"DELETE FROM conversations AS c WHERE c.id = ? AND {_LIVING}"  # noqa: S608
            return Change(connection.execute(sql, (id, timestamp())).rowcount > 0)

        return await self._writer.submit(remove)

    async def append(self, id: str, messages: Sequence[Message]) -> None:
        rows = [
            (id, message.id, message.role, message.content, message.created_at, json.dumps(message.details))
            for message in messages
        ]
        await self._writer.submit(lambda connection: _append(connection, id, rows), len(rows))

    async def messages(self, id: str, last: int | None = None) -> list[Message]:
        conversation = await self.get(id)
        rows = await self._rows(
            "SELECT id, role, content, created_at, details FROM messages WHERE conversation = ?"
            " ORDER BY position DESC LIMIT ?",
            (conversation.id, MOST_MESSAGES if last is None else last),
        )
        return [
            Message(id, role, content, created_at, json.loads(details))
            for id, role, content, created_at, details in reversed(rows)
        ]

    async def sweep(self) -> int:
        def remove(connection: sqlite3.Connection) -> Change[int]:
            sql = (
                "DELETE FROM conversations WHERE id IN"
                " (SELECT id FROM conversations WHERE expires_at <= ? LIMIT ?)"
            )
            return Change(connection.execute(sql, (timestamp(), _SWEPT_AT_ONCE)).rowcount)

        return await self._writer.submit(remove)

    async def _rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return [tuple(row) for row in await self._reader.execute_fetchall(sql, parameters)]
        except sqlite3.Error as error:
            raise translate(error) from error


def _append(connection: sqlite3.Connection, id: str, rows: Sequence[tuple[Any, ...]]) -> Change[None]:
    sql = f"SELECT {_COLUMNS} FROM conversations AS c WHERE c.id = ? AND {_LIVING}"  # noqa: S608
    found = connection.execute(sql, (id, timestamp())).fetchone()
    if found is None:
        raise not_found(id)
    conversation = _conversation(found)
    if conversation.messages + len(rows) > MOST_MESSAGES:
        raise full(id, MOST_MESSAGES)
    connection.executemany(
        "INSERT INTO messages (conversation, id, role, content, created_at, details)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.execute(
        "UPDATE conversations SET updated_at = ?, expires_at = ? WHERE id = ?",
        (timestamp(), expiry(conversation.expires_at, conversation.lasts), id),
    )
    return Change(None)


def _conversation(row: Sequence[Any]) -> Conversation:
    id, title, model, retrieval, metadata, *rest = row
    return Conversation(
        id, title, model, None if retrieval is None else json.loads(retrieval), json.loads(metadata), *rest
    )


@asynccontextmanager
async def open_sqlite(data: Path) -> AsyncIterator[SqliteConversations]:
    """The store in ``data``, which this process alone has.

    Raises:
        StoreError: the file cannot be opened, or a newer version wrote it.
    """
    path = data / FILE_NAME
    uri = f"{path.absolute().as_uri()}?mode=ro"
    async with (
        open_writer(path, MIGRATIONS) as (_, writer),
        aiosqlite.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None) as reader,
    ):
        yield SqliteConversations(writer, reader)
