"""Documents that are there until a moment: hidden from every read as it comes, deleted soon after.

SQL leaves out what has expired by its own clock. Memory follows in two steps: ``hide`` takes the rows out of
it before a search looks, and the task of an ``Expiry`` deletes them from the file when nobody has to wait
for that. It also removes the idempotency keys that are over, and forgets old deletions.

Invariant: what has expired never comes back. It cannot be patched, and a document that is written under its
id is a new one with rows of its own, so a row that was hidden stays so.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import numpy as np
import structlog

from index import history
from index.codec import timestamp
from index.document_writes import delete_keys
from index.errors import StoreError
from index.idempotency import FORGOTTEN_AT_ONCE, forget
from index.readers import Readers
from index.together import stop
from index.writer import Change, Writer

# Documents deleted in one transaction: other writes get their turn in between.
BATCH: Final = 500
# A clock that was put forward is noticed within this time; no read ever waits for it.
_LONGEST_SLEEP_S: Final = 60.0
_RETRY_S: Final = 5.0
_FIRST_FORGET_S: Final = 60.0
_FORGET_EVERY_S: Final = 3600.0
# Before any moment there can be: not looked yet.
_NOT_LOOKED: Final = ""

_EXPIRED: Final = (
    "SELECT d.key, p.seq, d.id, d.expires_at FROM documents AS d"
    " LEFT JOIN passages AS p ON p.document = d.key WHERE d.expires_at <= ?"
)
_FIRST: Final = "SELECT min(expires_at) FROM documents WHERE expires_at > ?"


def first_moment(connection: sqlite3.Connection) -> str | None:
    """When the first document of the file expires or has expired; None if none ever does."""
    moment: str | None = connection.execute(_FIRST, (_NOT_LOOKED,)).fetchone()[0]
    return moment


class Expiry:
    """Made by a collection. ``follow`` makes its memory follow a change."""

    def __init__(
        self,
        readers: Readers,
        writer: Writer,
        follow: Callable[[Change[Any]], None],
        first: str | None,
    ) -> None:
        self._readers = readers
        self._writer = writer
        self._follow = follow
        # Documents whose moment a write that is not committed yet may move.
        self._undecided: set[str] = set()
        # The first moment in the file when it was last looked at, and the first one written since.
        self._known = first
        self._noted: str | None = None
        self._looking = asyncio.Lock()
        self._has_hidden = False
        # Not at once: a start has better things to do.
        self._forget_at = _now() + _FIRST_FORGET_S
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(
            self._run(), name="index-expiry", context=Context()
        )  # not the logging context of the request that made it

    def leave_open(self, document_id: str) -> None:
        """A write, on its thread, is about to look whether the document is there and to move its moment."""
        self._undecided.add(document_id)

    def follow(self, change: Change[Any]) -> None:
        """A change was committed, and with it all that its group decided."""
        self._undecided.clear()
        self._note(change.expires_at)

    def _note(self, moment: str | None) -> None:
        """A document expires then."""
        if moment is not None and (self._noted is None or moment < self._noted):
            self._noted = moment
            self._wake.set()

    async def hide(self, *, again: bool = False) -> None:
        """Take out of memory what has expired by now; costs nothing where nothing has.

        ``again`` looks into the file even so: rows were found in memory that the file does not give.
        """
        # Whoever is looking has taken the moment as seen, but not the rows out of memory yet.
        if not (again or self._is_due() or self._looking.locked()):
            return
        async with self._looking:
            if again or self._is_due():
                await self._hide()

    async def _hide(self) -> None:
        now = timestamp()
        if self._writer.is_idle:
            self._undecided.clear()
        # A write that began before ``now`` may have met a document in time to keep it longer.
        undecided = frozenset(self._undecided)
        noted, self._noted = self._noted, None
        try:
            rows = await self._readers.rows(_EXPIRED, (now,))
            self._known = (await self._readers.rows(_FIRST, (now,)))[0][0]
        except BaseException:  # whoever looks next does so for these moments too
            self._note(noted)
            raise
        self._note(_earliest(row[3] for row in rows if row[2] in undecided))
        self._take_out([row for row in rows if row[2] not in undecided])

    def _take_out(self, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            seqs = np.array([row[1] for row in rows if row[1] is not None], dtype=np.int64)
            self._follow(Change(None, removed=seqs, gone=list({row[0] for row in rows})))
            self._has_hidden = True
            self._wake.set()

    async def close(self) -> None:
        """Stop; what was hidden and is not deleted yet is hidden again after the next start."""
        await stop(self._task)

    async def _run(self) -> None:
        while True:
            await self._sleep()
            try:
                await self._writer.followed()
                await self.hide()
                await self._sweep()
                await self._forget()
            except StoreError as error:
                structlog.get_logger().warning("expired_not_deleted", reason=str(error))
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _sleep(self) -> None:
        until = self._forget_at
        if (moment := self._first()) is not None:
            until = min(until, _now() + min(_seconds_until(moment), _LONGEST_SLEEP_S))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        self._wake.clear()

    async def _sweep(self) -> None:
        while self._has_hidden:
            deleted = await self._writer.submit(partial(delete_expired, limit=BATCH))
            self._has_hidden = deleted == BATCH

    async def _forget(self) -> None:
        """Where no write brings a new idempotency key, nobody else removes the old ones."""
        if self._forget_at <= _now():
            while await self._writer.submit(forget) == FORGOTTEN_AT_ONCE:
                pass
            while await self._writer.submit(history.forget) == history.FORGOTTEN_AT_ONCE:
                pass
            self._forget_at = _now() + _FORGET_EVERY_S

    def _first(self) -> str | None:
        return _earliest((self._known, self._noted))

    def _is_due(self) -> bool:
        moment = self._first()
        return moment is not None and moment <= timestamp()


def delete_expired(connection: sqlite3.Connection, limit: int) -> Change[int]:
    """Delete up to ``limit`` of the documents that have expired; gives how many."""
    sql = "SELECT key FROM documents WHERE expires_at <= ? LIMIT ?"
    return delete_keys(connection, [row[0] for row in connection.execute(sql, (timestamp(), limit))])


def _now() -> float:
    return asyncio.get_running_loop().time()


def _earliest(moments: Iterable[str | None]) -> str | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _seconds_until(moment: str) -> float:
    """At least 0, so also for a moment that is over."""
    return max(0.0, (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds())
