"""One task that keeps a collection's rows tidy while it is in use: rows in memory move into mapped files,
blocks with many gaps are written anew, what is scanned often is made faster to scan, and what was deleted
leaves every file.

Everything here can be left undone or done twice; what fails is logged and tried again later. The work on
files is done in threads, that on SQLite in short transactions between those of the writers, and on the event
loop blocks are only exchanged.
"""

import asyncio
import math
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from index import mapped
from index.blocks import Block, without_gone
from index.growth import GraphGrowth
from index.vectors import BLOCK_ROWS, VectorTable
from index.writer import Change, Writer

# Of FTS5's pages, 4,050 bytes each, in one transaction.
_MERGED_PAGES: Final = 256
# The command counts as a change itself.
_NOTHING_MERGED: Final = 1
_CHECKPOINT_WAIT_MS: Final = 50
# Between two looks at what is scanned.
_LOOK_EVERY_S: Final = 1.0
# At so many looks in a row a scan has come.
_FREQUENT: Final = 2
# And none has: every so many, mapped pages are let go. Finding all pages of a million rows again takes 50 ms,
# spread over the searches that need them.
_UNSCANNED: Final = 5
# Of a collection; what is beyond is scanned without codes.
_MOST_CODES_BYTES: Final = 2**28
# Erasing takes at most one part in so many of the time, however often something is deleted.
_REST: Final = 4


@dataclass(frozen=True, slots=True)
class UpkeepTuning:
    """How many bytes of vectors a mapped file holds, and how long what was deleted may lie in files before
    the work to remove it begins.
    """

    file_bytes: int = 96 * 2**20
    erase_after_s: float = 10.0

    def file_rows(self, dim: int) -> int:
        """Whole blocks, at least two: one alone stays in memory."""
        return max(2, self.file_bytes // (4 * dim * BLOCK_ROWS)) * BLOCK_ROWS


class Upkeep:
    """Made for a table that was just loaded; ``close`` ends it before its writer."""

    def __init__(
        self, folder: Path, table: VectorTable, growth: GraphGrowth, writer: Writer, tuning: UpkeepTuning
    ) -> None:
        self._folder = folder
        self._table = table
        self._growth = growth
        self._writer = writer
        self._file_rows = tuning.file_rows(table.dim)
        self._pause_s = tuning.erase_after_s
        self._wake = asyncio.Event()
        self._wake.set()
        # Nobody knows whether the process before came to it.
        self._erase_at: float | None = _now() + self._pause_s
        self._look_at = 0.0
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(
            self._run(), name="index-upkeep", context=Context()
        )  # not the logging context of the request that made it

    @property
    def is_erasing(self) -> bool:
        """Whether something that was deleted may still lie in a file."""
        return self._erase_at is not None

    def follow(self, *, replaced: bool) -> None:
        """Something was written, and in doing so maybe something ``replaced`` that files may still have."""
        if replaced and (self._erase_at is None or self._erase_at <= _now()):
            self._erase_at = _now() + self._pause_s
        self._wake.set()

    async def close(self) -> None:
        """Stop after the step that is under way."""
        self._closing.set()
        self._wake.set()
        await self._task

    async def _run(self) -> None:
        while not self._closing.is_set():
            await _wait(self._wake, min(self._erase_at or math.inf, _now() + _LOOK_EVERY_S))
            self._wake.clear()
            try:
                await self._rewrite_blocks()
                if self._erase_at is not None and _now() >= self._erase_at:
                    await self._erase(self._erase_at)
                await self._follow_scans()
            except Exception:  # noqa: BLE001 - the truth is whole without this
                structlog.get_logger().exception("upkeep_failed", folder=str(self._folder))
                await _wait(self._closing, _now() + self._pause_s)

    async def _follow_scans(self) -> None:
        """Blocks that are scanned get their codes. Beside a graph the others are read here and there, and
        each row brings its neighbours into memory. Scans while a graph is loaded say nothing.
        """
        if _now() < self._look_at or self._growth.is_loading:
            return
        self._look_at = _now() + _LOOK_EVERY_S
        for block in self._table.full_blocks:
            if self._closing.is_set():
                return
            looks = block.scans.take_note()
            if looks >= _FREQUENT and self._table.codes_bytes < _MOST_CODES_BYTES:
                await asyncio.to_thread(block.scans.encode, block.vectors)
            elif looks < 0 and looks % _UNSCANNED == 0 and block.file and self._growth.graph:
                mapped.let_go(block.file)

    async def _rewrite_blocks(self) -> None:
        while not self._closing.is_set() and (run := next_run(self._table.full_blocks, self._file_rows)):
            fresh = await asyncio.to_thread(self._written, run)
            self._table.replace(run, fresh)
            # A file of the same first row has taken the place of the one before.
            new = fresh.file.path if fresh.file and len(fresh.seqs) else None
            for path in {block.file.path for block in run if block.file} - {new}:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    def _written(self, run: Sequence[Block]) -> Block:
        fresh = without_gone(run)
        if len(fresh.seqs) <= BLOCK_ROWS:
            return fresh
        return mapped.write(fresh, self._folder, self._table.metric)

    async def _erase(self, asked: float) -> None:
        started = _now()
        for block in self._table.full_blocks:
            if block.file:
                await asyncio.to_thread(mapped.erase_gone, block)
        await self._growth.erase_gone()
        pages = -_MERGED_PAGES
        while not self._closing.is_set() and not await self._merge_words(pages):
            pages = _MERGED_PAGES
        self._pause_s = max(self._pause_s, _REST * (_now() - started))
        if not await self._writer.between(_empty_log):
            self._erase_at = _now() + self._pause_s
        elif self._erase_at == asked:  # nothing was deleted meanwhile
            self._erase_at = None

    async def _merge_words(self, pages: int) -> bool:
        return await self._writer.submit(lambda connection: merge_words(connection, pages), rows=0)


def next_run(blocks: Sequence[Block], file_rows: int) -> Sequence[Block] | None:
    """Neighbours that should become one block: rows in memory that fill a file, or a block with gaps and what
    fits beside it.
    """
    for start, block in enumerate(blocks):
        most = file_rows if block.file or block.count > BLOCK_ROWS else BLOCK_ROWS
        if block.is_sparse:
            return _fitting(blocks[start:], most)
    return _filling(blocks, file_rows)


def _fitting(blocks: Sequence[Block], most: int) -> Sequence[Block]:
    """The first block, and those behind it that go into one of ``most`` rows together."""
    end, rows = 1, blocks[0].count
    while end < len(blocks) and rows + blocks[end].count <= most:
        rows += blocks[end].count
        end += 1
    return blocks[:end]


def _filling(blocks: Sequence[Block], file_rows: int) -> Sequence[Block] | None:
    """Blocks in memory beside which no full one has room in a file."""
    start = rows = 0
    for end, block in enumerate(blocks):
        if block.file:
            start, rows = end + 1, 0
            continue
        rows += block.count
        if rows > file_rows - BLOCK_ROWS:
            return blocks[start : end + 1]
    return None


def merge_words(connection: sqlite3.Connection, pages: int) -> Change[bool]:
    """Bring the full-text index a step nearer to one piece that has nothing of rows that are gone; negative
    ``pages`` take the first step. True once there is nothing to do (sqlite.org/fts5.html, "merge").
    """
    before = connection.total_changes
    connection.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
    return Change(connection.total_changes - before <= _NOTHING_MERGED)


def _empty_log(connection: sqlite3.Connection) -> bool:
    """Cut the write-ahead log, which has copies of old pages; False while somebody reads them."""
    waiting = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_WAIT_MS}")
    try:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {waiting}")
    return not busy


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _wait(event: asyncio.Event, until: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await event.wait()
