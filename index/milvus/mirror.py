"""One collection's rows in Milvus, kept after its truth.

Whatever the truth commits is read out of its history and written to Milvus, in the order of the history, by
one task. A write waits for that before it is answered, so that the next search finds it; if Milvus is away
it does not wait, and until the task has caught up ``place`` is None: whoever searches asks the truth instead.
What a crash, or another service that ended, left between commit and Milvus is in the history behind the mark.

A collection whose rows are not there, or are those of another history, is filled from the truth's copies,
and then follows the history from the moment at which that began.

Invariants: rows are in Milvus before a mark says so. Rows of an older version are deleted after those of the
next one came, and are known by their version until then. Rows that are made anew are in another place, whose
name was never used before.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import aclosing, suppress
from contextvars import Context
from dataclasses import replace
from typing import Any, Final

import structlog

from index.errors import CollectionNotFound, HistoryLost, StoreError, VectorsUnavailable
from index.milvus.expression import documents_among, keys_among
from index.milvus.marks import Mark, Marks
from index.milvus.server import Milvus
from index.milvus.shape import keys_of, new_place, rows_of, shape_of
from index.paging import pages
from index.rows import DocumentCopy
from index.store import Store
from index.together import stop

# Documents of one page, and rows of one request: to encode those takes a few milliseconds of the event loop.
_PAGE: Final = 256
_ROWS: Final = 256
# Others that write to the same truth bring their writes to Milvus themselves, unless they ended too early.
_LOOK_EVERY_S: Final = 30.0
_RETRY_S: Final = 1.0
# A mark is written at most so often: what lies behind an older one is only looked at again.
_MARK_EVERY_S: Final = 5.0


class _Overtaken(Exception):
    """Another service has begun in another place, and its mark is the one that counts."""


class Mirror:
    """Made by ``MilvusCollection``; ``close`` ends it."""

    def __init__(self, truth: Store, milvus: Milvus, marks: Marks, prefix: str) -> None:
        self._truth = truth
        self._milvus = milvus
        self._marks = marks
        self._prefix = prefix
        self._mark: Mark | None = None
        self._begun = ""  # a place that is in no mark yet
        self._marked_at = 0.0
        # Of this service's writes, numbered: the last that was committed, the last that was answered without
        # being in Milvus, and whose documents nobody else brings there.
        self._written = 0
        self._unseen = 0
        self._mine: set[str] = set()
        # Those who wait for the next round, and those who wait for this one.
        self._waiting: list[asyncio.Future[None]] = []
        self._served: list[asyncio.Future[None]] = []
        self._is_behind = True
        self._is_unsure = self._is_gone = False
        self._wake, self._well = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(
            self._run(), name="milvus-mirror", context=Context()
        )  # not the logging context of the request that made it

    @property
    def place(self) -> str | None:
        """The name in Milvus of the collection that has all that was answered; None if there is none now."""
        mark = self._mark
        if self._is_behind or mark is None or mark.filling or self._milvus.reason:
            return None
        return mark.place

    async def written(self, ids: Iterable[str] = ()) -> None:
        """Until Milvus has what was just committed, or cannot have it for now; ``ids`` are of the documents
        that were written.
        """
        self._written += 1
        self._mine.update(ids)
        if self._is_behind:
            self._unseen = self._written
            self._wake.set()
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake.set()
        await future

    async def caught_up(self) -> None:
        """Until Milvus has all that was committed before."""
        await self._well.wait()

    def failed(self) -> None:
        """Milvus did not answer a search: what it has is looked at again, and until then it is not asked."""
        self._mark = None
        self._fall_behind()
        self._wake.set()

    def perhaps_written(self) -> None:
        """A write may be committed soon, of which nobody will tell."""
        self._is_unsure = True
        self._wake.set()

    async def close(self) -> None:
        """Stop; whoever waits for a write of theirs to be in Milvus waits no more."""
        await stop(self._task)
        if self._mark is not None and not self._milvus.reason:
            with suppress(VectorsUnavailable, _Overtaken):
                await self._write_mark(self._mark)
        self._mark = None

    async def drop(self) -> None:
        """Remove the rows, and stop.

        Raises:
            VectorsUnavailable: they are still there.
        """
        await stop(self._task)
        await self._let_go(self._mark, await self._marks.read(self._name))
        await self._marks.remove(self._name)

    @property
    def _name(self) -> str:
        return self._truth.settings.name

    async def _run(self) -> None:
        try:
            while not self._is_gone:
                await self._round()
                soon = self._is_behind or self._is_unsure or self._milvus.reason
                self._is_unsure = False
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S if soon else _LOOK_EVERY_S):
                        await self._wake.wait()
        finally:
            self._fall_behind()

    async def _round(self) -> None:
        """Bring to Milvus what is committed by now."""
        self._wake.clear()
        written = self._written
        self._served, self._waiting = self._waiting, []
        try:
            await self._catch_up()
        except CollectionNotFound:
            self._is_gone = True
        except StoreError as error:
            if not self._is_behind:
                structlog.get_logger().warning("milvus_behind", collection=self._name, reason=str(error))
            self._fall_behind()
            # It may be made anew meanwhile, or lose what it had not told to its disk.
            self._mark = None
        except _Overtaken:
            self._fall_behind()
            self._mark = None
            self._wake.set()
        except Exception:  # noqa: BLE001 - whatever it is, the truth answers until it is over
            structlog.get_logger().exception("milvus_behind", collection=self._name)
            self._fall_behind()
            self._mark = None
        else:
            self._is_behind = self._unseen > written
            (self._wake if self._is_behind else self._well).set()
            _settle(self._served)

    def _fall_behind(self) -> None:
        """From now on no write waits, and no search is asked here."""
        self._is_behind, self._unseen = True, self._written
        self._well.clear()
        _settle([*self._served, *self._waiting])
        self._served, self._waiting = [], []

    async def _catch_up(self) -> None:
        mark = None if self._milvus.reason else self._mark
        mark = mark or await self._found()
        if mark.filling:
            mark = await self._fill(mark)
        try:
            await self._follow(mark)
        except HistoryLost:
            await self._follow(await self._fill(await self._begin(mark)))

    async def _found(self) -> Mark:
        """The mark to go on from; a new one, with no rows behind it, if there is none that means anything."""
        await self._milvus.ping()
        # In this order: a mark of another history is then of one that is over, whoever wrote it.
        mark = await self._marks.read(self._name)
        now = await self._truth.changes(0, 0)
        if (
            mark is None
            or mark.history != now.history
            or mark.moment > now.until
            or not await self._milvus.has(mark.place)
        ):
            return await self._begin(mark)
        await self._milvus.load(mark.place)
        self._mark = mark
        return mark

    async def _begin(self, old: Mark | None) -> Mark:
        self._fall_behind()
        await self._let_go(old)
        now = await self._truth.changes(0, 0)
        self._begun = new_place(self._prefix, self._name)
        await self._milvus.create(self._begun, shape_of(self._truth.settings))
        mark = Mark(now.history, self._begun, now.until, filling=True)
        await self._write_mark(mark)
        self._begun = ""
        return mark

    async def _let_go(self, *marks: Mark | None) -> None:
        """Drop what is there of their rows, and of those that are in no mark."""
        for place in {self._begun, *(mark.place for mark in marks if mark is not None)} - {""}:
            if await self._milvus.has(place):
                await self._milvus.drop(place)
        self._begun = ""

    async def _fill(self, mark: Mark) -> Mark:
        """All that the truth has becomes rows; what happened since it began is left to who follows."""
        structlog.get_logger().info("milvus_filling_began", collection=self._name, moment=mark.moment)
        behind = mark.behind or None
        async with aclosing(pages(self._truth.copies, lambda copy: copy.document.id, behind)) as read:
            async for copies in read:
                await self._push(mark, copies, mark.moment)
                mark = replace(mark, behind=copies[-1].document.id)
                await self._write_mark(mark, soon=True)
        mark = replace(mark, filling=False, behind="")
        await self._write_mark(mark)
        structlog.get_logger().info("milvus_filled", collection=self._name)
        return mark

    async def _follow(self, mark: Mark) -> None:
        """Read the history to where it is now."""
        last = (await self._truth.changes(0, 0)).until
        while mark.moment < last:
            page = await self._truth.changes(mark.moment, _PAGE)
            mine = {copy.document.id for copy in page.copies} & self._mine
            others = [copy for copy in page.copies if copy.document.id not in mine]
            new = [copy for copy in page.copies if copy.document.id in mine]
            await self._push(mark, [*new, *await self._missing(mark, others)], page.until)
            await self._delete_older(mark, page.copies, page.deleted, page.until)
            self._mine -= mine
            mark = replace(mark, moment=page.until)
            self._mark = mark
        await self._write_mark(mark, soon=True)

    async def _push(self, mark: Mark, copies: Iterable[DocumentCopy], moment: int) -> None:
        rows: list[dict[str, Any]] = []
        for copy in copies:
            rows += rows_of(copy, self._truth.settings, moment)
            while len(rows) >= _ROWS:
                await self._milvus.upsert(mark.place, rows[:_ROWS])
                rows = rows[_ROWS:]
        await self._milvus.upsert(mark.place, rows)

    async def _missing(self, mark: Mark, copies: Sequence[DocumentCopy]) -> list[DocumentCopy]:
        """Those of other services' writes, or of this one's before it was started, that are not there."""
        if not copies:
            return []
        keys = [key for copy in copies for key in keys_of(copy)]
        found = await self._milvus.rows(mark.place, keys_among(keys), ["key", "updated_at"])
        there = {(row["key"], row["updated_at"]) for row in found}
        return [copy for copy in copies if not _rows_told(copy) <= there]

    async def _delete_older(
        self, mark: Mark, copies: Sequence[DocumentCopy], deleted: Sequence[str], moment: int
    ) -> None:
        """A document in its first version has no older rows, unless it was deleted a moment ago and came
        back: those are deleted with the next version, and known to be old until then.
        """
        again = [copy.document.id for copy in copies if copy.stamps is None or copy.stamps.version > 1]
        if ids := [*again, *deleted]:
            older = f"moment < {moment} and {documents_among(ids)}"
            if keys := [key for copy in copies for key in keys_of(copy)]:
                older += f" and not ({keys_among(keys)})"
            await self._milvus.delete(mark.place, older)

    async def _write_mark(self, mark: Mark, *, soon: bool = False) -> None:
        now = time.monotonic()
        if not soon or now - self._marked_at >= _MARK_EVERY_S:
            if await self._marks.is_overtaken(self._name, mark):
                await self._let_go(mark)
                raise _Overtaken
            await self._marks.write(self._name, mark)
            self._marked_at = now
        self._mark = mark


def _settle(waiting: Iterable[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)


def _rows_told(copy: DocumentCopy) -> set[tuple[str, str]]:
    assert copy.stamps is not None, "what the truth gives has stamps"
    return {(key, copy.stamps.updated_at) for key in keys_of(copy)}
