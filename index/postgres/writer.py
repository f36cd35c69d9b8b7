"""One write at a time for each collection: a transaction that has the collection's row locked.

Services that share a collection wait for each other at that row. Writers of one service wait in a line before
it, so that they take one connection and not all of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

from index.errors import CollectionNotFound, StoreUnavailable, WriteQueueFull
from index.postgres.database import Connection, Database
from index.postgres.tables import Tables

T = TypeVar("T")

MAX_WAITING_WRITES: Final = 1024
MAX_WAITING_ROWS: Final = 65_536
# Whoever came while a write waited for so long, for a server that is away, is told the same: to wait as long,
# one behind the other, would take hours.
_PATIENT_S: Final = 5.0
# The clock is read when the wait for the row has ended, so behind all that was written before. Rows that
# refer to this one may come meanwhile, as files do that are being kept for a job.
_LOCK: Final = (
    "WITH mine AS MATERIALIZED (SELECT change, next_seq FROM collections WHERE key = $1 FOR NO KEY UPDATE)"
    " SELECT date_trunc('milliseconds', clock_timestamp()), change, next_seq FROM mine"
)
_TAKE: Final = "UPDATE collections SET change = $2, next_seq = $3 WHERE key = $1"


class Turn:
    """A write under way: its connection, its moment by the server's clock, and the numbers it takes."""

    def __init__(
        self, connection: Connection, tables: Tables, now: datetime, last_change: int, next_seq: int
    ) -> None:
        self.connection = connection
        self.tables = tables
        self.now = now
        self._last_change = last_change
        self._next_seq = next_seq
        self._has_taken = False

    def take_changes(self, count: int) -> range:
        """The next moments of the collection's history."""
        first = self._last_change + 1
        self._last_change += count
        self._has_taken = self._has_taken or count > 0
        return range(first, first + count)

    def take_seqs(self, count: int) -> range:
        """The next numbers of passages, and keys of documents."""
        first = self._next_seq
        self._next_seq += count
        self._has_taken = self._has_taken or count > 0
        return range(first, first + count)

    @property
    def last_change(self) -> int:
        """The last moment of the history that was taken, by this write or one before."""
        return self._last_change

    async def end(self) -> None:
        """Have what was taken counted as given."""
        if self._has_taken:
            await self.connection.execute(_TAKE, self.tables.key, self._last_change, self._next_seq)


Write = Callable[[Turn], Awaitable[T]]


class Writer:
    """The line before a collection, ``name``."""

    def __init__(self, database: Database, tables: Tables, name: str) -> None:
        self._database = database
        self._tables = tables
        self._name = name
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._waiting_rows = 0
        self._rows_per_s = 1000.0
        # When a write had waited for the server in vain, and what it was told.
        self._away: tuple[float, StoreUnavailable] | None = None
        # The moment of the collection's history that its last write here was at.
        self.last_change = 0

    async def submit(self, write: Write[T], rows: int = 1) -> T:
        """What ``write`` gives, when all that it wrote is committed; nothing of it is if anything is raised.

        Raises:
            CollectionNotFound: the collection was dropped.
            WriteQueueFull: too much waits already, of which these ``rows`` would be a part.
            StorageFull, StorageFailed: it was not committed; OutcomeUnknown: or perhaps it was.
        """
        self._admit(rows)
        self._waiting += 1
        self._waiting_rows += rows
        came = time.monotonic()
        try:
            async with self._turn:
                if self._away is not None and came < self._away[0]:
                    raise self._away[1]
                started = time.monotonic()
                try:
                    result = await self._carry_out(write)
                except StoreUnavailable as error:
                    if time.monotonic() - started > _PATIENT_S:
                        self._away = time.monotonic(), error
                    raise
                self._rows_per_s = max(1, rows) / max(time.monotonic() - started, 1e-4)
                return result
        finally:
            self._waiting -= 1
            self._waiting_rows -= rows

    async def _carry_out(self, write: Write[T]) -> T:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_LOCK, self._tables.key)
            if row is None:
                raise CollectionNotFound(self._name)
            turn = Turn(connection, self._tables, *row)
            result = await write(turn)
            await turn.end()
        self.last_change = turn.last_change
        return result

    def _admit(self, rows: int) -> None:
        too_many = self._waiting >= MAX_WAITING_WRITES
        if too_many or (self._waiting and self._waiting_rows + rows > MAX_WAITING_ROWS):
            raise WriteQueueFull(
                f"{self._waiting} writes with {self._waiting_rows} rows wait, the limits are "
                f"{MAX_WAITING_WRITES} and {MAX_WAITING_ROWS}",
                retry_after_s=max(0.1, self._waiting_rows / self._rows_per_s),
            )
