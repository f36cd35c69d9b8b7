"""Connections to one PostgreSQL server: a pool of them, and errors in the store's own words.

A read whose connection is lost is made once more on a new one. A write is never made twice: if its connection
is lost while it is committed, or says nothing for too long, the server is asked what became of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import asyncpg

from index.errors import OutcomeUnknown
from index.postgres.address import Address
from index.postgres.failures import DATABASE_ERRORS, LOST, translate
from index.postgres.vectors import decode_vector, encode_vector

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Record: TypeAlias = asyncpg.Record
T = TypeVar("T")

CONNECT_S: Final = 10.0
_STATEMENT_S: Final = 120.0
# For one of the pool, also while the server starts again.
_ACQUIRE_S: Final = 10.0
# A service that is gone without a word would hold what it has locked for hours. None of our transactions
# waits for anything but the server and a disk.
_ABANDONED: Final = {
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60s",
}
# When the server is asked again what became of a write, and how long for each answer.
_ASKED_AFTER_S: Final = (0.0, 0.1, 0.4, 1.0, 2.0)
_OUTCOME_S: Final = 5.0
_CLOSE_S: Final = 2.0
# It writes to the log as well, behind the write: so it is answered when the standbys that commits wait for
# have both, and what only this server has is not told as kept.
_OUTCOME: Final = (
    "SELECT pg_xact_status($1::text::xid8), pg_postmaster_start_time(),"
    " pg_logical_emit_message(true, 'embedd', ''::text)::text"
)


class Reader(Protocol):
    """Where statements are sent that only read; each sees one committed state.

    Every method may raise StorageFailed: the server refused, or (StoreUnavailable) cannot be reached.
    """

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        """All rows of one statement."""
        ...

    async def row(self, sql: str, *arguments: Any) -> Record | None:
        """The first of them."""
        ...

    async def value(self, sql: str, *arguments: Any) -> Any:
        """The first column of it; None if there is none."""
        ...

    async def read(self, reading: Callable[[Connection], Awaitable[T]]) -> T:
        """What ``reading`` gives, which may be asked more than once, each time on another connection."""
        ...


class Database:
    """A ``Reader`` that also writes, made by ``open_pool``. Statements find the service's tables and
    pgvector's type without a schema.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", address: Address) -> None:
        self._pool = pool
        self._in_use: set[Connection] = set()
        self.address = address

    async def fetch(self, sql: str, *arguments: Any) -> list[Record]:
        return await self.read(lambda connection: connection.fetch(sql, *arguments))

    async def row(self, sql: str, *arguments: Any) -> Record | None:
        return await self.read(lambda connection: connection.fetchrow(sql, *arguments))

    async def value(self, sql: str, *arguments: Any) -> Any:
        return await self.read(lambda connection: connection.fetchval(sql, *arguments))

    async def read(self, reading: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await self._on_connection(reading)
        except LOST:
            # The others of the pool are likely to be lost as well, and have not noticed.
            await self._pool.expire_connections()
        except DATABASE_ERRORS as error:
            raise self.translate(error) from error
        try:
            return await self._on_connection(reading)
        except DATABASE_ERRORS as error:
            raise self.translate(error) from error

    async def _on_connection(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._acquired() as connection:
            return await work(connection)

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Connection]:
        async with self._pool.acquire(timeout=_ACQUIRE_S) as connection:
            self._in_use.add(connection)
            try:
                yield connection
            finally:
                self._in_use.discard(connection)

    async def execute(self, sql: str, *arguments: Any) -> str:
        """Carry out one statement that writes, in a transaction of its own; gives PostgreSQL's word for it.

        Raises:
            StorageFull, StorageFailed: nothing was written.
            OutcomeUnknown: it was, or was not.
        """
        async with self.transaction() as connection:
            return await connection.execute(sql, *arguments)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection; what it raises because of the server comes out as the store's own errors."""
        try:
            async with self._acquired() as connection:
                yield connection
        except LOST as error:
            await self._pool.expire_connections()
            raise self.translate(error) from error
        except DATABASE_ERRORS as error:
            raise self.translate(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, which is committed at the end, and undone if anything is raised.

        Raises:
            StorageFull, StorageFailed: nothing was written.
            OutcomeUnknown: all was, or nothing.
        """
        async with self.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                yield connection
                mark = await connection.fetchrow(
                    "SELECT pg_current_xact_id_if_assigned()::text, pg_postmaster_start_time()"
                )
            except (*LOST, TimeoutError):
                with suppress(*DATABASE_ERRORS):
                    connection.terminate()  # who did not answer this is not asked to undo it
                raise
            except BaseException:
                with suppress(*DATABASE_ERRORS):
                    await transaction.rollback()
                raise
            assert mark is not None
            try:
                await transaction.commit()
            except (*LOST, TimeoutError) as error:
                try:
                    if not await self._was_committed(mark):
                        raise self.translate(error) from error
                finally:
                    # To give it back would wait for what it was told last, and an error of that hide ours.
                    with suppress(*DATABASE_ERRORS):
                        connection.terminate()

    async def _was_committed(self, mark: Record) -> bool:
        """Whether the transaction of this number was, which ended while it was committed."""
        number, started = mark
        if number is None:  # it wrote nothing
            return True
        await self._pool.expire_connections()
        for pause_s in _ASKED_AFTER_S:
            await asyncio.sleep(pause_s)
            with suppress(*DATABASE_ERRORS):
                status, now_started = await self._outcome(number)
                if status == "aborted" or (status == "committed" and now_started == started):
                    return bool(status == "committed")
                if now_started != started:
                    break  # it crashed, or is another: it may have given the number to somebody else
        raise OutcomeUnknown(
            f"{self.address} did not say whether it kept this write: the connection was lost, or the answer"
            " took too long; look, or send it again with the same idempotency key"
        )

    async def _outcome(self, number: str) -> tuple[str, Any]:
        """What became of a transaction, and when the server was started. Asked over a connection of its own:
        those of the pool may all be lost by writes that ask the same.
        """
        connection = await asyncpg.connect(
            self.address.url,
            timeout=_OUTCOME_S,
            command_timeout=_OUTCOME_S,
            server_settings=session_settings(self.address.schema),
        )
        try:
            row = await connection.fetchrow(_OUTCOME, number)
            assert row is not None
            return row[0], row[1]
        finally:
            with suppress(*DATABASE_ERRORS):
                await connection.close(timeout=_CLOSE_S)  # which also calls back what is not answered

    def translate(self, error: BaseException) -> Exception:
        """The store's error for one that asyncpg raised."""
        return translate(error, str(self.address))

    async def ping(self) -> None:
        """Raises:
        StoreUnavailable: the server does not answer.
        """
        await self.value("SELECT 1")

    async def renew(self) -> None:
        """Have new connections from now on: those that there are may be lost."""
        await self._pool.expire_connections()

    async def give_up(self) -> None:
        """End every statement that waits for a server which has fallen silent: they fail as those do whose
        connection is lost. To cancel them would wait for the server to hear of that.
        """
        await self.renew()
        for connection in tuple(self._in_use):
            with suppress(*DATABASE_ERRORS):
                connection.terminate()

    async def close(self) -> None:
        """End every connection; nobody uses one any more."""
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._pool.close()
        except (TimeoutError, *LOST):
            self._pool.terminate()


@asynccontextmanager
async def open_pool(address: Address, vector_schema: str, connections: int) -> AsyncIterator[Database]:
    """Up to ``connections`` to a server; the first is made when it is needed."""
    pool = asyncpg.create_pool(
        address.url,
        min_size=0,
        max_size=connections,
        timeout=CONNECT_S,
        command_timeout=_STATEMENT_S,
        init=lambda connection: _prepare(connection, vector_schema),
        reset=_leave,
        server_settings=session_settings(address.schema, vector_schema),
    )
    database = Database(await pool, address)
    try:
        yield database
    finally:
        await database.close()


def session_settings(*schemas: str) -> dict[str, str]:
    """Of every connection; statements are short, and each is planned for what it asks."""
    path = ", ".join(f'"{schema}"' for schema in schemas)
    shared = {"search_path": path, "application_name": "embedd", "timezone": "UTC", "jit": "off"}
    return shared | _ABANDONED


async def _prepare(connection: Connection, vector_schema: str) -> None:
    await connection.set_type_codec(
        "vector", schema=vector_schema, encoder=encode_vector, decoder=decode_vector, format="binary"
    )
    await connection.set_type_codec(
        "tsvector", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary"
    )


async def _leave(connection: Connection) -> None:
    """Nobody changes a connection's settings but in a transaction, so there is nothing to undo."""


def columns_of(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The columns of at least one row, as the arrays that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
