"""Connections for reading: few, opened when first needed, each used by one reader at a time; and one for what
is short.

In WAL mode readers neither wait for the writer nor hold it up, and each statement sees one committed state.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiosqlite

from index.database import BUSY_TIMEOUT_S, FILE_NAME, translate
from index.errors import CollectionNotFound
from index.one_thread import OneThread
from index.quick_reader import QuickReader, Rows

CONNECTIONS: Final = 4


class Readers:
    """A pool of at most ``CONNECTIONS`` read-only connections; the last one used is the next one taken.

    ``name`` is the collection's, for those who still read when it is closed; ``thread`` is where what is
    short is read.
    """

    def __init__(self, folder: Path, name: str, thread: OneThread) -> None:
        self._name = name
        self._closed = False
        self._uri = f"{(folder / FILE_NAME).absolute().as_uri()}?mode=ro"
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[aiosqlite.Connection] = []
        self._quick = QuickReader(self._uri, thread)

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All the rows of one statement, which sees one committed state.

        Raises:
            CollectionNotFound: it is closed.
            StorageFailed: SQLite refused.
        """
        try:
            async with self._connection() as connection:
                return [tuple(row) for row in await connection.execute_fetchall(sql, parameters)]
        except sqlite3.Error as error:
            raise translate(error) from error

    async def few_rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """As ``rows``, in less time; for a statement that looks up few rows by their keys.

        Raises:
            CollectionNotFound, StorageFailed: as in ``rows``.
        """
        if self._closed:
            raise CollectionNotFound(self._name)
        try:
            return await self._quick.rows(sql, parameters)
        except sqlite3.Error as error:
            raise translate(error) from error

    def few_rows_now(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """As ``few_rows``, for those who are on the ``thread``.

        Raises:
            CollectionNotFound, StorageFailed: as in ``rows``.
        """
        if self._closed:
            raise CollectionNotFound(self._name)
        try:
            return self._quick.rows_now(sql, parameters)
        except sqlite3.Error as error:
            raise translate(error) from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._free:
            if self._closed:
                raise CollectionNotFound(self._name)
            connection = self._idle.pop() if self._idle else await self._open()
            try:
                yield connection
            finally:
                # A cancelled reader leaves its statement running; the next one queues behind it.
                self._idle.append(connection)

    async def _open(self) -> aiosqlite.Connection:
        return await aiosqlite.connect(self._uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)

    async def close(self) -> None:
        """Wait for those who read, then close every connection."""
        self._closed = True
        await self._quick.close()
        for _ in range(CONNECTIONS):
            await self._free.acquire()
        while self._idle:
            await self._idle.pop().close()
        for _ in range(CONNECTIONS):
            self._free.release()
