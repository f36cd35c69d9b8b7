"""The models that were added while services ran, in the PostgreSQL of the catalog.

Every service brings every model that is enabled. What has become of it there, ``standing`` and ``reason``, is
each service's own and in its memory; what a model is, is the same for all. All rows are in memory as well.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values are bound.

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from api.errors import Conflict
from api.services.model_rows import SHARED_NAMES, ModelRow, OnChange
from api.shared.news import News
from api.shared.tables import TELL
from index.codec import timestamp
from index.postgres.database import Database, Record
from index.postgres.text import decode_text, encode_text

TOPIC: Final = "models"
_COLUMNS: Final = ", ".join(SHARED_NAMES)
_PLACES: Final = ", ".join(f"${place}" for place in range(1, len(SHARED_NAMES) + 1))
_INSERT: Final = (
    f"INSERT INTO models ({_COLUMNS}) VALUES ({_PLACES}) ON CONFLICT DO NOTHING RETURNING {_COLUMNS}"
)
# Whoever pins a model first pins it for all; what somebody else has exchanged is left alone.
_UPDATE: Final = (
    "UPDATE models SET (kind, source, description, revision, sha256, allow_pickle, enabled, size_bytes,"
    " created_at, updated_at)"
    " = ($2, $3, $4, coalesce(revision, $5), coalesce(sha256, $6), $7, $8, $9, $10, $11)"
    f" WHERE name = $1 AND created_at = $10 RETURNING {_COLUMNS}"
)
_EXCHANGE: Final = f"UPDATE models SET ({_COLUMNS}) = ({_PLACES}) WHERE name = $1 RETURNING {_COLUMNS}"


class SharedRows:
    """The `ModelRows` of all services; known from the first look of ``news`` on."""

    def __init__(self, database: Database, news: News) -> None:
        self._database = database
        self._rows: dict[str, ModelRow] = {}
        self._listener: OnChange | None = None
        # What was changed here must not be undone by what was read before.
        self._changing = asyncio.Lock()
        news.on_change(TOPIC, self.refresh)

    def __iter__(self) -> Iterator[ModelRow]:
        return iter([self._rows[name] for name in sorted(self._rows)])

    def get(self, name: str) -> ModelRow | None:
        return self._rows.get(name)

    def on_change(self, listener: OnChange) -> None:
        self._listener = listener

    async def refresh(self) -> None:
        async with self._changing:
            before = self._rows
            found = await self._database.fetch(f"SELECT {_COLUMNS} FROM models")
            self._rows = {row.name: row for row in map(self._row, found)}
        if self._listener is not None and self._rows != before:
            self._listener(before)

    async def put(self, row: ModelRow) -> ModelRow:
        return await self._keep(row, _UPDATE if row.created_at else _INSERT)

    async def exchange(self, row: ModelRow) -> ModelRow:
        return await self._keep(replace(row, created_at=""), _EXCHANGE)

    async def _keep(self, row: ModelRow, statement: str) -> ModelRow:
        now = timestamp()
        wanted = replace(row, created_at=row.created_at or now, updated_at=now)
        encoded = replace(wanted, description=encode_text(wanted.description))
        values = [getattr(encoded, name) for name in SHARED_NAMES]
        async with self._changing:
            async with self._database.transaction() as connection:
                stored = await connection.fetchrow(statement, *values)
                await connection.execute(TELL, TOPIC)
            if stored is None:
                raise Conflict(
                    f"model {row.name!r} was changed at another service at the same time: look again",
                    param="name",
                    code="model_exists",
                )
            kept = replace(self._row(stored), standing=row.standing, reason=row.reason)
            self._rows[row.name] = kept
            return kept

    async def remove(self, name: str) -> None:
        async with self._changing:
            async with self._database.transaction() as connection:
                await connection.execute("DELETE FROM models WHERE name = $1", name)
                await connection.execute(TELL, TOPIC)
            self._rows.pop(name, None)

    def _row(self, stored: Record) -> ModelRow:
        """With what is known of it here."""
        values = {name: stored[name] for name in SHARED_NAMES}
        values["description"] = decode_text(values["description"])
        row = ModelRow(**values)
        known = self._rows.get(row.name)
        return row if known is None else replace(row, standing=known.standing, reason=known.reason)
