"""One task that keeps a collection's graph: loads it, grows it, renews it, stores it.

Searches use ``graph`` while it is not None and look for everything behind its ``last_seq`` in the table, so
the graph may lag as it likes. Small collections have none. Rows enter in slices of a few milliseconds,
between which searches come to the owner's thread. Only this task changes graphs; whatever goes wrong with
one, it is dropped and the table answers alone.
"""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from index import snapshot
from index.graph import Graph, GraphShape
from index.one_thread import OneThread
from index.system_memory import give_back
from index.vectors import Keys, VectorTable

_SLICE_S: Final = 0.002
_MAX_SLICE_ROWS: Final = 256
# Rows as they come leave the other cores to whoever makes and asks for them. A graph that lacks so many is
# being built, and takes what there is.
_FAR_BEHIND: Final = 10_000
_MOST_THREADS: Final = 4
# About as many rows as a graph takes in a second; and how many may wait, whose scan takes some 20 ms.
_FLOOD_ROWS_PER_S: Final = 2_500
_TOO_FAR_BEHIND: Final = 200_000
_FLOOD_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class GraphTuning:
    """When a collection has a graph, and how it is built.

    Below ``threshold`` rows a scan is as fast (5,000 rows of 384 numbers: 0.43 ms on 2 cores) and exact. A
    snapshot is due once ``snapshot_rows`` rows, and a quarter of the graph, changed since the last one.
    """

    threshold: int = 5_000
    m: int = 16
    ef_construction: int = 200
    snapshot_rows: int = 10_000


NO_GRAPHS: Final = GraphTuning(threshold=sys.maxsize)
"""Where something else finds what is near."""


class Flood:
    """Whether rows come faster than a graph could take them: then the cores are for those who write, and
    scans answer meanwhile. Knows when it was last asked, and how far the rows had come.
    """

    def __init__(self) -> None:
        self._asked = 0.0
        self._seq = 0
        self._is_on = False

    def is_on(self, last_seq: int, behind: int) -> bool:
        """Of a table whose last row that is, and of whose rows so many are in no graph."""
        now = time.monotonic()
        if (elapsed := now - self._asked) >= _FLOOD_S:
            rows_per_s = (last_seq - self._seq) / elapsed
            self._is_on = rows_per_s > _FLOOD_ROWS_PER_S and _FAR_BEHIND < behind < _TOO_FAR_BEHIND
            self._asked, self._seq = now, last_seq
        return self._is_on


class GraphGrowth:
    """Made by a collection, with the folder for snapshots and the ``thread`` for graphs; ``close`` stores the
    graph.
    """

    def __init__(
        self, folder: Path, table: VectorTable, shape: GraphShape, tuning: GraphTuning, thread: OneThread
    ) -> None:
        self.graph: Graph | None = None
        self.is_loading = True  # what was stored, if anything was
        self._folder = folder
        self._table = table
        self._shape = shape
        self._tuning = tuning
        self._thread = thread
        self._removed: list[Keys] = []
        self._unsaved = 0
        self._slice_rows = 8
        self._flood = Flood()
        # Loading, storing and removing the stored graph, and erasing what is gone from it: one at a time.
        self._storing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(
            self._run(), name="index-graph", context=Context()
        )  # not the logging context of the request that made it

    def follow(self, removed: Keys | None) -> None:
        """The table has changed; these rows left it."""
        if removed is not None and len(removed):
            self._removed.append(removed)
        self._settled.clear()
        self._wake.set()

    async def settled(self) -> None:
        """Until the graph has caught up with the table (or there is none to be)."""
        await self._settled.wait()

    async def erase_gone(self) -> None:
        """Leave no vector in the stored graph whose row is gone."""
        async with self._storing:
            view = self._table.view()
            await asyncio.to_thread(lambda: snapshot.erase_gone(self._folder, self._shape, view.seqs()))

    async def close(self, *, store: bool = True) -> None:
        """Stop, and keep what was built for the next start."""
        self._closing = True
        self._wake.set()
        await self._task
        if store and self.graph is not None and self._unsaved:
            await self._save(self.graph)

    async def _run(self) -> None:
        async with self._storing:
            await self._guarded(self._restore())
        self.is_loading = False
        self._wake.set()
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            await self._guarded(self._tend())
            if not self._wake.is_set():
                self._settled.set()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - whatever goes wrong with a graph, the table answers alone
            structlog.get_logger().exception("graph_failed", folder=str(self._folder))
            self.graph = None

    async def _restore(self) -> None:
        """Take the stored graph if it agrees with the table."""
        graph = Graph(self._shape, self._thread)
        if not await snapshot.load(graph, self._folder):
            return
        labels, view = await graph.labels(), self._table.view()
        dead = await asyncio.to_thread(lambda: _dead_labels(labels, view.seqs(), graph.last_seq))
        if dead is None:
            await asyncio.to_thread(snapshot.discard, self._folder)
            return
        await graph.forget(dead)
        self.graph = graph
        # Lists of all rows came and went while it was made sure that none is missing.
        await asyncio.to_thread(give_back)

    async def _tend(self) -> None:
        rows = len(self._table.view())
        if rows < self._tuning.threshold // 2 or (self.graph is None and rows < self._tuning.threshold):
            await self._do_without()
            return
        if self.graph is None:
            self._removed.clear()
            self.graph = Graph(self._shape, self._thread)
        await self._catch_up(self.graph)
        if self.graph.is_worn and not self._closing:
            await self._renew(self.graph)
        if self._unsaved >= max(self._tuning.snapshot_rows, self.graph.count // 4):
            await self._save(self.graph)

    async def _do_without(self) -> None:
        self._removed.clear()
        if self.graph is not None:
            self.graph = None
            async with self._storing:
                await asyncio.to_thread(snapshot.discard, self._folder)

    async def _renew(self, worn: Graph) -> None:
        """Build a graph without the deleted rows while the worn one goes on answering."""
        fresh = Graph(self._shape, self._thread)
        await self._catch_up(fresh, worn)
        if not self._closing:
            self.graph, self._unsaved = fresh, fresh.count

    async def _catch_up(self, graph: Graph, *others: Graph) -> None:
        while not self._closing:
            await self._forget_removed(graph, *others)
            if graph.last_seq >= self._table.last_seq:
                return
            if graph is self.graph and self._flood.is_on(
                self._table.last_seq, self._table.last_seq - graph.last_seq
            ):
                await asyncio.sleep(_FLOOD_S)
            else:
                await self._add_slice(graph)

    async def _forget_removed(self, *graphs: Graph) -> None:
        if self._removed:
            removed, self._removed = np.concatenate(self._removed), []
            for graph in graphs:
                await graph.forget(removed)
            self._unsaved += len(removed)

    async def _add_slice(self, graph: Graph) -> None:
        newest = self._table.last_seq
        seqs, vectors = self._table.view().after(graph.last_seq).first(self._slice_rows)
        # One that is built to take the place of another is in no hurry.
        threads = _threads(newest - graph.last_seq) if graph is self.graph else 1
        started = time.perf_counter()
        last_seq = int(seqs[-1]) if len(seqs) == self._slice_rows else newest
        await graph.add(seqs, vectors, last_seq, threads)
        self._unsaved += len(seqs)
        if len(seqs) == self._slice_rows:
            rows = self._slice_rows * _SLICE_S / max(time.perf_counter() - started, 1e-6)
            self._slice_rows = int(min(max(rows, 1), 2 * self._slice_rows, _MAX_SLICE_ROWS))

    async def _save(self, graph: Graph) -> None:
        try:
            async with self._storing:
                await snapshot.save(graph, self._folder)
        except (OSError, RuntimeError):
            structlog.get_logger().exception("graph_not_stored", folder=str(self._folder))
        self._unsaved = 0


def _threads(behind: int) -> int:
    """How many threads a graph is to be built with that lacks so many rows."""
    return min(_MOST_THREADS, os.cpu_count() or 1) if behind > _FAR_BEHIND else 1


def _dead_labels(labels: Keys, live: Keys, last_seq: int) -> Keys | None:
    """The labels whose rows are gone; None if a row of the graph's time is missing, or one is from after
    it.
    """
    expected = live[live <= last_seq]
    if not np.isin(expected, labels, assume_unique=True).all() or labels.max(initial=0) > last_seq:
        return None
    return np.setdiff1d(labels, live, assume_unique=True)
