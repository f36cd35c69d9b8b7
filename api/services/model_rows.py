"""The models that were added while a service ran, in a SQLite file of their own beside the collections.

One thread writes, with an fsync before each answer. All rows are in memory as well: there are few.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from api.services.registry import Kind
from embedd.ownership import to_its_end
from index.codec import timestamp
from index.database import read_rows
from index.writer import Change, Writer, open_writer

FILE_NAME: Final = "models.db"

Standing = Literal["registered", "downloading", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as it was asked for, and what is known of it by now.

    ``revision`` and ``sha256`` are pinned once they are known. ``standing`` is the last one that was settled,
    with its ``reason``; a disabled model is ``registered``. Other weights of the same name are another model,
    and have another ``created_at``.
    """

    name: str
    kind: Kind
    source: str
    description: str = ""
    revision: str | None = None
    sha256: str | None = None
    allow_pickle: bool = False
    enabled: bool = True
    standing: Standing = "registered"
    reason: str = ""
    size_bytes: int | None = None
    created_at: str = ""
    updated_at: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a model: its standing, and what is known of its weights since, if anything."""

    standing: Standing
    reason: str = ""
    revision: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None


_NAMES: Final = tuple(field.name for field in fields(ModelRow))
SHARED_NAMES: Final = tuple(name for name in _NAMES if name not in ("standing", "reason"))
"""What a model is for every service that has it; how it stands is each one's own."""

_COLUMNS: Final = ", ".join(_NAMES)
_WRITE: Final = f"INSERT OR REPLACE INTO models ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608


def _create_tables(connection: sqlite3.Connection) -> None:
    connection.execute(
        """CREATE TABLE models (
            name TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            source TEXT NOT NULL,
            description TEXT NOT NULL,
            revision TEXT,
            sha256 TEXT,
            allow_pickle INTEGER NOT NULL,
            enabled INTEGER NOT NULL,
            standing TEXT NOT NULL,
            reason TEXT NOT NULL,
            size_bytes INTEGER,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) STRICT, WITHOUT ROWID"""
    )


MIGRATIONS: Final = (_create_tables,)


OnChange = Callable[[], None]
"""Called when others have changed rows."""


class ModelRows(Protocol):
    """The rows of all models, in memory."""

    def __iter__(self) -> Iterator[ModelRow]:
        """By name."""
        ...

    def get(self, name: str) -> ModelRow | None: ...

    async def refresh(self) -> None:
        """Know of what others have changed up to now.

        Raises:
            StorageFailed: it is not known.
        """
        ...

    def on_change(self, listener: OnChange) -> None:
        """Call ``listener`` whenever others have changed rows."""
        ...

    async def add(self, row: ModelRow) -> ModelRow:
        """Keep a new one; gives it with its times.

        Raises:
            Conflict: somebody else has added one of that name.
            StorageFailed, StorageFull: nothing has changed.
        """
        ...

    async def change(
        self, row: ModelRow, *, enabled: bool | None = None, description: str | None = None
    ) -> ModelRow:
        """Keep what is given of ``row``, and give all of it.

        Raises:
            Conflict: somebody else has removed or exchanged it.
            StorageFailed, StorageFull: nothing has changed.
        """
        ...

    async def settle(self, row: ModelRow, outcome: Outcome) -> ModelRow:
        """Keep what has become of ``row``, and nothing else of it.

        Raises:
            Conflict: somebody else has removed or exchanged it.
            StorageFailed, StorageFull: nothing has changed.
        """
        ...

    async def exchange(self, row: ModelRow) -> ModelRow:
        """Keep ``row`` as another model in the place of the one of its name and ``created_at``, with pins of
        its own; gives it with its times.

        Raises:
            Conflict: somebody else has removed or exchanged that one.
            StorageFailed, StorageFull: nothing has changed.
        """
        ...

    async def remove(self, name: str) -> None:
        """Forget the row.

        Raises:
            StorageFailed, StorageFull: it is still there.
        """
        ...


class FileRows:
    """The `ModelRows` of one data folder; made by `open_model_rows`."""

    def __init__(self, writer: Writer, rows: dict[str, ModelRow]) -> None:
        self._writer = writer
        self._rows = rows

    def __iter__(self) -> Iterator[ModelRow]:
        return iter([self._rows[name] for name in sorted(self._rows)])

    def get(self, name: str) -> ModelRow | None:
        return self._rows.get(name)

    async def refresh(self) -> None:
        """Nobody else changes the file."""

    def on_change(self, listener: OnChange) -> None:
        """Nobody else changes the file."""

    async def add(self, row: ModelRow) -> ModelRow:
        return await self._keep(replace(row, created_at=timestamp()))

    async def change(
        self, row: ModelRow, *, enabled: bool | None = None, description: str | None = None
    ) -> ModelRow:
        enabled = row.enabled if enabled is None else enabled
        description = row.description if description is None else description
        return await self._keep(replace(row, enabled=enabled, description=description))

    async def settle(self, row: ModelRow, outcome: Outcome) -> ModelRow:
        known = {name: value for name, value in asdict(outcome).items() if value is not None}
        return await self._keep(replace(row, **known))

    async def exchange(self, row: ModelRow) -> ModelRow:
        return await self._keep(replace(row, created_at=timestamp()))

    async def remove(self, name: str) -> None:
        def write(connection: sqlite3.Connection) -> Change[None]:
            connection.execute("DELETE FROM models WHERE name = ?", (name,))
            return Change(None)

        async def remove() -> None:
            await self._writer.submit(write)
            self._rows.pop(name, None)

        await to_its_end(remove())

    async def _keep(self, row: ModelRow) -> ModelRow:
        """On disk and in memory, whether or not anybody waits for it to the end."""
        stored = replace(row, updated_at=timestamp())

        def write(connection: sqlite3.Connection) -> Change[None]:
            connection.execute(_WRITE, astuple(stored))
            return Change(None)

        async def keep() -> ModelRow:
            await self._writer.submit(write)
            self._rows[row.name] = stored
            return stored

        return await to_its_end(keep())


def _row(stored: Sequence[Any]) -> ModelRow:
    values = dict(zip(_NAMES, stored, strict=True))
    flags = {name: bool(values[name]) for name in ("allow_pickle", "enabled")}
    return ModelRow(**values | flags)


@asynccontextmanager
async def open_model_rows(data: Path) -> AsyncIterator[FileRows]:
    """The rows in ``data``, which this process alone has.

    Raises:
        StoreError: the file cannot be opened, or a newer version wrote it.
    """
    async with open_writer(data / FILE_NAME, MIGRATIONS) as (connection, writer):
        stored = await asyncio.to_thread(read_rows, connection, f"SELECT {_COLUMNS} FROM models")  # noqa: S608
        rows = map(_row, stored)
        yield FileRows(writer, {row.name: row for row in rows})
