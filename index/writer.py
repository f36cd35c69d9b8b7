"""The one writer of a collection: a queue, a thread with the connection, and group commit.

Whatever waits is committed together, in one transaction with one fsync; each write has a savepoint of its
own, so one that fails takes no other with it. A write is a plain function of the connection that runs on
the writer's thread, so no cancellation can stop it half way: its caller may leave, the commit happens all
the same, and the rest of the process hears of it before the caller does. It may run twice, if its group had
to be broken up.

Knows nothing of tables. Invariants: changes are applied in the order of their commits; a write is refused
at once when too much waits.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from index.database import open_file, translate
from index.errors import StorageFailed, WriteQueueFull
from index.migrations import Migration
from index.rows import Vector
from index.vectors import Keys, VectorTable

T = TypeVar("T")

# Rows in one transaction: a bulk writer must not keep the others waiting for long.
MAX_GROUP_ROWS: Final = 4096
MAX_WAITING_ROWS: Final = 65_536
MAX_WAITING_WRITES: Final = 1024
_BYTES_PER_ROW: Final = 4096


@dataclass(frozen=True, slots=True)
class AddedRows:
    """Rows that were inserted: seqs (n,) ascending, document keys (n,), vectors (n, dim) as they are
    searched.
    """

    seqs: Keys
    documents: Keys
    vectors: Vector


@dataclass(frozen=True, slots=True)
class WrittenDocuments:
    """Documents that are new, or whose metadata is: keys, ids, the metadata and the tags as JSON."""

    keys: Sequence[int]
    ids: Sequence[str]
    metadata: Sequence[str]
    acls: Sequence[str]


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """What a write gives its caller, and what memory has to follow: of rows and of documents (``gone`` are
    keys of theirs), first those that left, then those that came. ``reworded`` are rows that stay and have
    other words. ``expires_at`` is when the first of the written ones expires, ``description`` the
    collection's new one.
    """

    result: T
    removed: Keys | None = None
    added: AddedRows | None = None
    gone: Sequence[int] = ()
    written: WrittenDocuments | None = None
    reworded: Keys | None = None
    loaded: VectorTable | None = None
    expires_at: str | None = None
    description: str | None = None

    @property
    def replaces(self) -> bool:
        """Whether something that was there before is no more: a document that went, or became another one."""
        is_patch = self.written is not None and self.added is None
        return bool(self.gone) or is_patch or (self.removed is not None and len(self.removed) > 0)


Write = Callable[[sqlite3.Connection], Change[T]]


@dataclass(slots=True)
class _Waiting:
    write: Write[Any]
    rows: int
    future: asyncio.Future[Any] = field(repr=False)


class Writer:
    """Owns ``connection``. ``apply`` is called on the event loop for each committed change, in order."""

    def __init__(self, connection: sqlite3.Connection, apply: Callable[[Change[Any]], None]) -> None:
        self._connection = connection
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="index-writer")
        self._apply = apply
        self._waiting: deque[_Waiting] = deque()
        self._waiting_rows = 0
        self._wake = asyncio.Event()
        # Set while nothing is committed of which the rest of the process has not heard.
        self._followed = asyncio.Event()
        self._followed.set()
        self._closing = False
        self._rows_per_s = 1000.0
        self.commits = 0
        self._task = asyncio.create_task(
            self._run(), name="index-writer", context=Context()
        )  # not the logging context of the request that made it

    async def submit(self, write: Write[T], rows: int = 1) -> T:
        """Run ``write`` in a transaction; what it gives is committed and on disk. ``rows`` is how much it
        counts for among those that wait.

        Raises:
            WriteQueueFull: too much waits already; nothing was done.
            StorageFull, StorageFailed: it was not committed.
        """
        self._admit(rows)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(write, rows, future))
        self._waiting_rows += rows
        self._wake.set()
        return await future

    def _admit(self, rows: int) -> None:
        if self._closing:
            raise StorageFailed("the collection is closing")
        too_many = len(self._waiting) >= MAX_WAITING_WRITES
        if too_many or (self._waiting and self._waiting_rows + rows > MAX_WAITING_ROWS):
            raise WriteQueueFull(
                f"{len(self._waiting)} writes with {self._waiting_rows} rows wait, the limits are "
                f"{MAX_WAITING_WRITES} and {MAX_WAITING_ROWS}",
                retry_after_s=max(0.1, self._waiting_rows / self._rows_per_s),
            )

    @property
    def is_idle(self) -> bool:
        """Whether no write has begun that is not applied yet."""
        return self._followed.is_set()

    async def followed(self) -> None:
        """Until everything that a reader of the file may have seen by now was applied."""
        await self._followed.wait()

    async def between(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` outside of a transaction, when the one under way is done.

        Raises:
            StorageFull, StorageFailed: SQLite refused.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, self._connection)
        except sqlite3.Error as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Finish what was accepted, then close the connection (which empties the write-ahead log)."""
        self._closing = True
        self._wake.set()
        await self._task
        await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.close)
        self._executor.shutdown(wait=False)

    async def _run(self) -> None:
        try:
            while not (self._closing and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                while group := self._next_group():
                    await self._commit(group)
        finally:
            self._closing = True
            _abandon(self._waiting)

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        rows = 0
        while self._waiting and (not group or rows + self._waiting[0].rows <= MAX_GROUP_ROWS):
            waiting = self._waiting.popleft()
            self._waiting_rows -= waiting.rows
            if not waiting.future.cancelled():
                group.append(waiting)
                rows += waiting.rows
        return group

    async def _commit(self, group: list[_Waiting]) -> None:
        started = time.monotonic()
        self._followed.clear()
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(
                self._executor, commit, self._connection, [waiting.write for waiting in group]
            )
            self.commits += 1
            if rows := sum(w.rows for w in group):  # else it was no client's write
                self._rows_per_s = rows / max(time.monotonic() - started, 1e-4)
            for waiting, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, Change):
                    self._apply(outcome)
                _settle(waiting.future, outcome)
        finally:
            self._followed.set()
            _abandon(group)


@asynccontextmanager
async def open_writer(
    path: Path, steps: Sequence[Migration]
) -> AsyncIterator[tuple[sqlite3.Connection, Writer]]:
    """The file at ``path``, to whose format ``steps`` lead, with the writer that owns its connection; what is
    read by way of that is read before the first write.

    Raises:
        StoreError: the file cannot be opened, or a newer version wrote it.
    """
    connection = await asyncio.to_thread(open_file, path, steps)
    writer = Writer(connection, lambda _: None)
    try:
        yield connection, writer
    finally:
        await writer.close()


def weight(rows: int, size_bytes: int) -> int:
    """How many rows a write counts for in the queue, whose bound is also one of memory."""
    return max(1, rows, size_bytes // _BYTES_PER_ROW)


def commit(connection: sqlite3.Connection, writes: Sequence[Write[Any]]) -> list[Change[Any] | Exception]:
    """All the writes in one transaction: the change of each, or why it failed and left nothing behind."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_attempt(connection, write) for write in writes]
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if len(writes) == 1:
            return [translate(error)]
        return [commit(connection, [write])[0] for write in writes]
    return outcomes


def _attempt(connection: sqlite3.Connection, write: Write[Any]) -> Change[Any] | Exception:
    connection.execute("SAVEPOINT write")
    try:
        change = write(connection)
    except Exception as error:  # its caller gets it, whatever it is
        if not connection.in_transaction:
            # A full disk and the like undo the whole transaction: the group starts again, one by one.
            raise
        connection.execute("ROLLBACK TO write")
        connection.execute("RELEASE write")
        return translate(error) if isinstance(error, sqlite3.Error) else error
    connection.execute("RELEASE write")
    return change


def _settle(future: asyncio.Future[Any], outcome: Change[Any] | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome.result)


def _abandon(waiting: Iterable[_Waiting]) -> None:
    """Nobody may wait for a writer that stopped."""
    for each in waiting:
        _settle(each.future, StorageFailed("the writer stopped; whether this was written is not known"))
