"""The models that were added while services ran, in the PostgreSQL of the catalog.

Every service brings every model that is enabled. What has become of it there, ``standing`` and ``reason``, is
each service's own and in its memory; what a model is, is the same for all. All rows are in memory as well.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values are bound.

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from api.errors import Conflict
from api.services.model_rows import SHARED_NAMES, ModelRow, OnChange, Outcome
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
_CHANGE: Final = (
    "UPDATE models SET enabled = coalesce($3, enabled), description = coalesce($4, description),"
    f" updated_at = $5 WHERE name = $1 AND created_at = $2 RETURNING {_COLUMNS}"
)
# Whoever pins a model first pins it for all.
_PIN: Final = (
    "UPDATE models SET revision = coalesce(revision, $3), sha256 = coalesce(sha256, $4),"
    " size_bytes = coalesce(size_bytes, $5), updated_at = $6"
    f" WHERE name = $1 AND created_at = $2 RETURNING {_COLUMNS}"
)
_EXCHANGE: Final = (
    f"UPDATE models SET ({_COLUMNS}) = ({_PLACES})"
    f" WHERE name = $1 AND created_at = ${len(SHARED_NAMES) + 1} RETURNING {_COLUMNS}"
)


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
            self._listener()

    async def add(self, row: ModelRow) -> ModelRow:
        return await self._write(row.name, _INSERT, *_new_values(row))

    async def change(
        self, row: ModelRow, *, enabled: bool | None = None, description: str | None = None
    ) -> ModelRow:
        text = None if description is None else encode_text(description)
        return await self._write(row.name, _CHANGE, row.created_at, enabled, text, timestamp())

    async def settle(self, row: ModelRow, outcome: Outcome) -> ModelRow:
        pins = (outcome.revision, outcome.sha256, outcome.size_bytes)
        known_pins = (row.revision, row.sha256, row.size_bytes)
        if any(new is not None and old is None for new, old in zip(pins, known_pins, strict=True)):
            await self._write(row.name, _PIN, row.created_at, *pins, timestamp())
        known = self._rows.get(row.name)
        if known is None or known.created_at != row.created_at:
            raise _changed_elsewhere(row.name)
        settled = replace(known, standing=outcome.standing, reason=outcome.reason)
        self._rows = self._rows | {row.name: settled}
        return settled

    async def exchange(self, row: ModelRow) -> ModelRow:
        kept = await self._write(row.name, _EXCHANGE, *_new_values(row), row.created_at)
        return await self.settle(kept, Outcome(row.standing, row.reason))

    async def _write(self, name: str, statement: str, *values: Any) -> ModelRow:
        """Carry out a statement that gives the row of this ``name`` if it was found as it was known."""
        async with self._changing:
            async with self._database.transaction() as connection:
                stored = await connection.fetchrow(statement, name, *values)
                if stored is None:
                    raise _changed_elsewhere(name)
                await connection.execute(TELL, TOPIC)
            kept = self._row(stored)
            self._rows = self._rows | {name: kept}
            return kept

    async def remove(self, name: str) -> None:
        async with self._changing:
            async with self._database.transaction() as connection:
                await connection.execute("DELETE FROM models WHERE name = $1", name)
                await connection.execute(TELL, TOPIC)
            self._rows = {known: row for known, row in self._rows.items() if known != name}

    def _row(self, stored: Record) -> ModelRow:
        """With how it stands here, if it is still the same."""
        values = {name: stored[name] for name in SHARED_NAMES}
        values["description"] = decode_text(values["description"])
        row = ModelRow(**values)
        known = self._rows.get(row.name)
        if known is None or known.created_at != row.created_at:
            return row
        return replace(row, standing=known.standing, reason=known.reason)


def _new_values(row: ModelRow) -> list[Any]:
    """Those of ``row`` as a model of this moment, behind its name."""
    now = timestamp()
    new = replace(row, description=encode_text(row.description), created_at=now, updated_at=now)
    return [getattr(new, name) for name in SHARED_NAMES[1:]]


def _changed_elsewhere(name: str) -> Conflict:
    return Conflict(
        f"model {name!r} was changed at another service at the same time: look again",
        param="name",
        code="model_exists",
    )
