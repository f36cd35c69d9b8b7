"""Keys in the PostgreSQL of the catalog, and all of them in memory, where requests look them up.

What one service makes or revokes, the others hear of within a second. A service that cannot hear, because the
database is away, lets nobody in by what may have been revoked meanwhile.
"""

import asyncio
from typing import Final

from api.security.key_store import COLUMNS, MOST_KEYS, key_of, row_of, too_many, unknown
from api.security.keys import Draft, Key, mint
from api.shared.news import News
from api.shared.tables import TELL
from index.codec import timestamp
from index.errors import StoreUnavailable
from index.postgres.database import Database, Record
from index.postgres.text import decode_text, encode_text

TOPIC: Final = "keys"
TRUSTED_S: Final = 10.0
"""For so long keys are good though it is not known whether they were revoked."""

_ALL: Final = f"SELECT {COLUMNS} FROM keys"  # noqa: S608
_INSERT: Final = f"INSERT INTO keys ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"  # noqa: S608
_REVOKE: Final = f"UPDATE keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING {COLUMNS}"  # noqa: S608


class PostgresKeys:
    """A `Keys` of all services; known from the first look of ``news`` on."""

    def __init__(self, database: Database, news: News) -> None:
        self._database = database
        self._news = news
        self._keys: dict[str, Key] = {}
        # What was changed here must not be undone by what was read before.
        self._changing = asyncio.Lock()
        news.on_change(TOPIC, self._read)

    @property
    def is_empty(self) -> bool:
        return not self._keys

    def find(self, id: str) -> Key | None:
        if (silent_s := self._news.silent_s) > TRUSTED_S:
            raise StoreUnavailable(
                f"keys cannot be verified: the database that has them has not answered for {silent_s:.0f} s"
            )
        return self._keys.get(id)

    def all(self) -> list[Key]:
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.id))

    async def create(self, draft: Draft) -> tuple[Key, str]:
        key, whole = mint(draft)
        async with self._changing, self._database.transaction() as connection:
            await connection.execute(TELL, TOPIC)  # one at a time: the count is right
            count = await connection.fetchval("SELECT count(*) FROM keys")
            if count >= MOST_KEYS:
                raise too_many(count)
            id, name, *rest = row_of(key)
            await connection.execute(_INSERT, id, encode_text(name), *rest)
        self._keys[key.id] = key
        return key, whole

    async def revoke(self, id: str) -> Key:
        async with self._changing:
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(_REVOKE, id.partition("\0")[0], timestamp())
                if row is None:
                    raise unknown(id)
                await connection.execute(TELL, TOPIC)
            self._keys[id] = _key(row)
            return self._keys[id]

    async def _read(self) -> None:
        async with self._changing:
            self._keys = {row["id"]: _key(row) for row in await self._database.fetch(_ALL)}


def _key(row: Record) -> Key:
    id, name, *rest = row
    return key_of((id, decode_text(name), *rest))
