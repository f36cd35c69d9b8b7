"""One read replica: whether it can be asked now, and the reads that are under way there.

It is asked all the time whether it is there, over a connection of its own: of a machine that is gone without
a word nobody would hear for minutes otherwise. Reads that wait for one that does not answer are ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg
import structlog

from index.errors import StoreUnavailable
from index.postgres.database import Connection, Database
from index.postgres.failures import DATABASE_ERRORS

T = TypeVar("T")

_ASKED_EVERY_S: Final = 1.0
_SILENT_S: Final = 3.0


class Replica:
    """The one behind ``database``. ``is_there`` says whether it answered when it was last asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # With the connection that each has by now.
        self._reads: dict[asyncio.Task[Any], Connection | None] = {}
        self.is_there = True

    async def read(self, reading: Callable[[Connection], Awaitable[T]]) -> T:
        """What ``reading`` gives.

        Raises:
            StoreUnavailable: it is not there, or has gone.
            StorageFailed: it refuses.
        """
        task = asyncio.ensure_future(self._read(reading))
        self._reads[task] = None
        try:
            return await task
        except StoreUnavailable:
            self.is_there = False
            raise
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and caller is not None and not caller.cancelling():
                raise StoreUnavailable(f"{self._database.address} does not answer") from None
            raise
        finally:
            del self._reads[task]

    async def _read(self, reading: Callable[[Connection], Awaitable[T]]) -> T:
        task = asyncio.current_task()
        assert task is not None
        async with self._database.connection() as connection:
            self._reads[task] = connection
            try:
                return await reading(connection)
            finally:
                self._reads[task] = None

    async def watch(self) -> None:
        """Know whether it is there, until cancelled."""
        while True:
            try:
                await self._ask()
            except DATABASE_ERRORS as error:
                if self.is_there:
                    reason = str(self._database.translate(error))
                    structlog.get_logger().warning("replica_away", reason=reason)
                self.is_there = False
                await self._end_reads()
            await asyncio.sleep(_ASKED_EVERY_S)

    async def _ask(self) -> None:
        """Again and again, for as long as it answers."""
        connection = await asyncpg.connect(
            self._database.address.url,
            timeout=_SILENT_S,
            command_timeout=_SILENT_S,
            server_settings={"application_name": "embedd watch"},
        )
        try:
            while True:
                await connection.execute("SELECT 1")
                self.is_there = True
                await asyncio.sleep(_ASKED_EVERY_S)
        finally:
            connection.terminate()

    async def _end_reads(self) -> None:
        """To cancel what waits for an answer would wait for the server to hear of that."""
        await self._database.renew()
        for task, connection in tuple(self._reads.items()):
            if connection is None:
                task.cancel()
            else:
                with suppress(*DATABASE_ERRORS):
                    connection.terminate()
