"""What belongs to a shared catalog beside its collections, for copies of it and into it."""

# ruff: noqa: S608 - statements are put together from constants; values are bound.

from collections.abc import Sequence
from typing import Final

from api.services.belongings import (
    CONVERSATION_COLUMNS,
    KEY_COLUMNS,
    MESSAGE_COLUMNS,
    MODEL_COLUMNS,
    Row,
)
from api.shared.keys import TOPIC as KEYS
from api.shared.model_rows import TOPIC as MODELS
from api.shared.tables import TELL
from index.codec import timestamp
from index.postgres.database import Database
from index.postgres.text import decode_optional, encode_optional

# Where texts of users stand in the rows.
_KEY_TEXTS: Final = (1,)
_MODEL_TEXTS: Final = (3,)
_CONVERSATION_TEXTS: Final = (1, 2)
_MESSAGE_TEXTS: Final = (2,)
_SIZES: Final = "SELECT id, messages FROM conversations WHERE expires_at IS NULL OR expires_at > $1"
_CONVERSATION: Final = f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE id = $1"
_MESSAGES: Final = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE conversation = $1 ORDER BY position"
_ADD_KEY: Final = (
    f"INSERT INTO keys ({KEY_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    " ON CONFLICT (id) DO UPDATE SET revoked_at = coalesce(keys.revoked_at, excluded.revoked_at)"
)
_ADD_MODEL: Final = (
    f"INSERT INTO models ({MODEL_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    " ON CONFLICT DO NOTHING"
)
_ADD_CONVERSATION: Final = (
    f"INSERT INTO conversations ({CONVERSATION_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    " ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at, expires_at = excluded.expires_at"
    " RETURNING messages"
)
_ADD_MESSAGE: Final = (
    f"INSERT INTO messages (conversation, position, {MESSAGE_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
_COUNT: Final = "UPDATE conversations SET messages = greatest(messages, $2) WHERE id = $1"


class SharedBelongings:
    """Implements ``api.services.belongings.Belongings``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keys(self) -> list[Row]:
        rows = await self._database.fetch(f"SELECT {KEY_COLUMNS} FROM keys")
        return [_decoded(tuple(row), _KEY_TEXTS) for row in rows]

    async def models(self) -> list[Row]:
        rows = await self._database.fetch(f"SELECT {MODEL_COLUMNS} FROM models")
        return [_decoded(tuple(row), _MODEL_TEXTS) for row in rows]

    async def sizes(self) -> dict[str, int]:
        return {row[0]: row[1] for row in await self._database.fetch(_SIZES, timestamp())}

    async def conversation(self, id: str) -> tuple[Row, list[Row]] | None:
        messages = await self._database.fetch(_MESSAGES, id)
        row = await self._database.row(_CONVERSATION, id)
        if row is None:
            return None
        decoded = [_decoded(tuple(message), _MESSAGE_TEXTS) for message in messages]
        return _decoded(tuple(row), _CONVERSATION_TEXTS), decoded

    async def add_keys(self, rows: Sequence[Row]) -> None:
        await self._add(KEYS, _ADD_KEY, [_encoded(row, _KEY_TEXTS) for row in rows])

    async def add_models(self, rows: Sequence[Row]) -> None:
        flags = [(*row[:6], bool(row[6]), bool(row[7]), *row[8:]) for row in rows]
        await self._add(MODELS, _ADD_MODEL, [_encoded(row, _MODEL_TEXTS) for row in flags])

    async def _add(self, topic: str, sql: str, rows: Sequence[Row]) -> None:
        if rows:
            async with self._database.transaction() as connection:
                await connection.executemany(sql, rows)
                await connection.execute(TELL, topic)

    async def add_conversation(self, row: Row, messages: Sequence[Row]) -> None:
        async with self._database.transaction() as connection:
            there = await connection.fetchval(_ADD_CONVERSATION, *_encoded(row, _CONVERSATION_TEXTS))
            new = [
                (row[0], position, *_encoded(message, _MESSAGE_TEXTS))
                for position, message in enumerate(messages)
                if position >= there
            ]
            await connection.executemany(_ADD_MESSAGE, new)
            await connection.execute(_COUNT, row[0], len(messages))


def _encoded(row: Row, texts: Sequence[int]) -> Row:
    return tuple(encode_optional(value) if n in texts else value for n, value in enumerate(row))


def _decoded(row: Row, texts: Sequence[int]) -> Row:
    return tuple(decode_optional(value) if n in texts else value for n, value in enumerate(row))
