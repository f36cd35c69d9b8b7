"""One committed state of a collection, for as long as a search looks at it.

What a search has to know of the whole collection, how many points it has and how long their texts are, is
counted when it is first asked for, and again when the collection has changed by a tenth.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from index.postgres.database import Connection, Reader
from index.postgres.graph_shape import graph_name, has_graph
from index.postgres.tables import Tables

T = TypeVar("T")

_STATE: Final = f"SELECT change, {has_graph('$2')} FROM collections WHERE key = $1"
# So many changes for one point of a collection that is counted again.
_POINTS_PER_CHANGE: Final = 10
# The average length of a text is taken from about so many of them.
_MEASURED: Final = 5_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many points there were at a moment of the collection's history, and words in each on average."""

    change: int
    points: int
    mean_words: float

    def hold_at(self, change: int) -> bool:
        """Whether they are about right at another moment."""
        return abs(change - self.change) * _POINTS_PER_CHANGE <= self.points or change == self.change


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A connection in a transaction that sees one state, with a graph or without."""

    connection: Connection
    has_graph: bool
    sizes: Sizes


class BehindError(Exception):
    """The database has not heard yet of what this process wrote."""


class Snapshots:
    """The states of one collection that ``stale`` gives, or ``fresh`` where that is behind what this process
    wrote. So a search finds what was written before it by whoever asks the same process, on replicas too.
    """

    def __init__(self, fresh: Reader, stale: Reader, tables: Tables) -> None:
        self._fresh = fresh
        self._stale = stale
        self._tables = tables
        self._written = 0
        self._sizes: Sizes | None = None

    def follow(self, change: int) -> None:
        """This process has written up to that moment."""
        self._written = max(self._written, change)

    async def read(self, work: Callable[[Snapshot], Awaitable[T]]) -> T:
        """What ``work`` makes of one state; it may be given another one, if a connection is lost."""

        async def reading(connection: Connection, least: int) -> T:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(await self._taken(connection, least))

        try:
            return await self._stale.read(partial(reading, least=self._written))
        except BehindError:
            return await self._fresh.read(partial(reading, least=0))

    async def _taken(self, connection: Connection, least: int) -> Snapshot:
        row = await connection.fetchrow(_STATE, self._tables.key, graph_name(self._tables))
        # Without a row it was dropped, or is newer than the replica; its tables tell.
        change, graph = row or (0, False)
        if change < least:
            raise BehindError
        sizes = self._sizes
        if sizes is None or not sizes.hold_at(change):
            sizes = self._sizes = await self._measured(connection, change)
        return Snapshot(connection, graph, sizes)

    async def _measured(self, connection: Connection, change: int) -> Sizes:
        passages = self._tables.passages
        points: int = await connection.fetchval(f"SELECT count(*) FROM {passages}")
        percent = sample_percent(_MEASURED, points)
        mean = await connection.fetchval(
            f"SELECT avg(words_count)::float8 FROM {passages} TABLESAMPLE SYSTEM ($1) REPEATABLE (0)", percent
        )
        return Sizes(change, points, mean or 0.0)


def sample_percent(rows: int, of: int) -> float:
    """The part of a table of so many rows that has about ``rows``."""
    return min(100.0, 100 * rows / max(of, 1))
