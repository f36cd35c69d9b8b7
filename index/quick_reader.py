"""Short statements, read on a thread that does other short work of searches as well.

A search joins its few rows here. SQLite's own time for that is a fraction of what it costs to wake a thread
and to hand Python's lock to and fro, once for every row. A search that has been to this thread for the graph
reads its rows before it comes back, with ``rows_now``.

What may take long does not belong here, because everybody else would wait for it.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from index.database import BUSY_TIMEOUT_S
from index.one_thread import OneThread

Rows: TypeAlias = list[tuple[Any, ...]]

# Rows of a vector and a text lie one or two to a page of 4 KiB: some thousand of those that are found again.
_CACHE: Final = "PRAGMA cache_size = -8192"


class QuickReader:
    """Made without a connection, which comes with the first statement. ``uri`` is the file's."""

    def __init__(self, uri: str, thread: OneThread) -> None:
        self._uri = uri
        self._thread = thread
        self._connection: sqlite3.Connection | None = None

    async def rows(self, sql: str, parameters: Sequence[Any]) -> Rows:
        """All the rows of one statement, which sees one committed state.

        Raises:
            sqlite3.Error: SQLite refused.
        """
        return await self._thread.run(lambda: self.rows_now(sql, parameters))

    def rows_now(self, sql: str, parameters: Sequence[Any]) -> Rows:
        """As ``rows``, for those who are on the thread."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection.execute(sql, parameters).fetchall()

    async def close(self) -> None:
        """Answer what was asked, and let go of the file."""
        await self._thread.run(self._let_go)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.execute(_CACHE)
        return connection
