"""Conversations in the PostgreSQL of the catalog, where every service finds them."""

import json
from collections.abc import Sequence
from typing import Final

from api.conversations.records import BEHIND_ALL, MOST_MESSAGES, Conversation, Message, expiry
from api.conversations.store import full, not_found
from index.codec import timestamp
from index.postgres.database import Connection, Database, Record
from index.postgres.text import decode_text, encode_text

# Removed in one transaction, so that nobody waits long for it.
_SWEPT_AT_ONCE: Final = 100
_COLUMNS: Final = "id, title, model, retrieval, metadata, created_at, updated_at, expires_at, lasts, messages"
_LIVING: Final = "(expires_at IS NULL OR expires_at > $2)"
_INSERT: Final = f"INSERT INTO conversations ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)"  # noqa: S608
_GET: Final = f"SELECT {_COLUMNS} FROM conversations WHERE id = $1 AND {_LIVING}"  # noqa: S608
_PAGE: Final = f"SELECT {_COLUMNS} FROM conversations WHERE id < $1 AND {_LIVING} ORDER BY id DESC LIMIT $3"  # noqa: S608
_MESSAGES: Final = (
    "SELECT id, role, content, created_at, details FROM messages WHERE conversation = $1"
    " ORDER BY position DESC LIMIT $2"
)
_APPEND: Final = (
    "INSERT INTO messages (conversation, position, id, role, content, created_at, details)"
    " SELECT $1, $2 + row_number() OVER () - 1, new.* FROM"
    " unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS new"
)
_SWEEP: Final = (
    "DELETE FROM conversations WHERE id IN (SELECT id FROM conversations WHERE expires_at <= $1 LIMIT $2"
    " FOR UPDATE SKIP LOCKED) RETURNING id"
)


class PostgresConversations:
    """A `ConversationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, conversation: Conversation) -> None:
        await self._database.execute(
            _INSERT,
            conversation.id,
            encode_text(conversation.title),
            None if conversation.model is None else encode_text(conversation.model),
            None if conversation.retrieval is None else json.dumps(conversation.retrieval),
            json.dumps(conversation.metadata),
            conversation.created_at,
            conversation.updated_at,
            conversation.expires_at,
            conversation.lasts,
        )

    async def get(self, id: str) -> Conversation:
        row = await self._database.row(_GET, _askable(id), timestamp())
        if row is None:
            raise not_found(id)
        return _conversation(row)

    async def page(self, limit: int, after: str | None = None) -> list[Conversation]:
        rows = await self._database.fetch(_PAGE, _askable(after or BEHIND_ALL), timestamp(), limit)
        return [_conversation(row) for row in rows]

    async def delete(self, id: str) -> bool:
        sql = f"DELETE FROM conversations WHERE id = $1 AND {_LIVING}"  # noqa: S608
        return await self._database.execute(sql, _askable(id), timestamp()) != "DELETE 0"

    async def append(self, id: str, messages: Sequence[Message]) -> None:
        async with self._database.transaction() as connection:
            await _append(connection, id, messages)

    async def messages(self, id: str, last: int | None = None) -> list[Message]:
        conversation = await self.get(id)
        limit = MOST_MESSAGES if last is None else last
        rows = await self._database.fetch(_MESSAGES, conversation.id, limit)
        return [
            Message(id, role, decode_text(content), created_at, json.loads(details))
            for id, role, content, created_at, details in reversed(rows)
        ]

    async def sweep(self) -> int:
        async with self._database.transaction() as connection:
            return len(await connection.fetch(_SWEEP, timestamp(), _SWEPT_AT_ONCE))


async def _append(connection: Connection, id: str, messages: Sequence[Message]) -> None:
    """In the place behind all that there are; whoever else appends waits."""
    row = await connection.fetchrow(f"{_GET} FOR UPDATE", _askable(id), timestamp())
    if row is None:
        raise not_found(id)
    conversation = _conversation(row)
    if conversation.messages + len(messages) > MOST_MESSAGES:
        raise full(id, MOST_MESSAGES)
    await connection.execute(
        _APPEND,
        id,
        conversation.messages,
        [message.id for message in messages],
        [message.role for message in messages],
        [encode_text(message.content) for message in messages],
        [message.created_at for message in messages],
        [json.dumps(message.details) for message in messages],
    )
    await connection.execute(
        "UPDATE conversations SET updated_at = $2, expires_at = $3, messages = $4 WHERE id = $1",
        id,
        timestamp(),
        expiry(conversation.expires_at, conversation.lasts),
        conversation.messages + len(messages),
    )


def _askable(id: str) -> str:
    """No id has U+0000, which PostgreSQL would not even be asked about."""
    return id.partition("\0")[0]


def _conversation(row: Record) -> Conversation:
    id, title, model, retrieval, metadata, *rest = row
    return Conversation(
        id,
        decode_text(title),
        None if model is None else decode_text(model),
        None if retrieval is None else json.loads(retrieval),
        json.loads(metadata),
        *rest,
    )
