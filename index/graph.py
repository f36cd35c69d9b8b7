"""An HNSW graph (hnswlib's, by way of hnsw.cpp) that one thread changes and searches, so that readers and the
writer can never meet in it.

Labels are seqs: ours, ascending, never used again. Rows enter in that order, so the graph has every row up to
``last_seq`` that was there when its turn came. It finds candidates; how near they are, the table says. So its
own vectors may be in eight bits.

What hnswlib 0.8.0 does and this module or hnsw.cpp answers:

* ``addPoint`` and ``resizeIndex`` must not run beside a search: one thread does both. Storing reads only, and
has a thread of its own; nothing is added meanwhile.
* A search gives as many rows as it can reach, which may be fewer than there are.
* Elements that are marked as deleted keep their memory: ``is_worn`` says when to build a new graph.
* ``saveIndex`` does not notice a full disk, ``loadIndex`` believes its file: sizes are compared, and a file
is loaded only with a checksum (snapshot.py).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import numpy as np

from index._hnsw import Graph as Hnsw
from index.one_thread import OneThread, ThreadClosed
from index.planner import Limits
from index.rows import Metric, Vector
from index.vectors import Keys

T = TypeVar("T")
Found: TypeAlias = Keys | None
MAX_WORN: Final = 0.2
# About a millisecond, in which no search comes in.
_FORGOTTEN_AT_ONCE: Final = 16_384
# Of eight-bit vectors: filled up to a multiple of so many numbers, with what they stand for behind them.
_CODE_STEP: Final = 32
_SCALE_BYTES: Final = 8
NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class GraphShape:
    """What a graph is built for and with; a stored one of another shape is of no use."""

    dim: int
    metric: Metric
    m: int = 16
    ef_construction: int = 200
    quantised: bool = False

    @property
    def vector_bytes(self) -> int:
        """Of one vector in the graph."""
        if not self.quantised:
            return 4 * self.dim
        return -(-self.dim // _CODE_STEP) * _CODE_STEP + _SCALE_BYTES


class Graph:
    """Made empty; every graph of a collection has the same ``thread``."""

    def __init__(self, shape: GraphShape, thread: OneThread) -> None:
        self.shape = shape
        self.last_seq = 0
        self._thread = thread
        self._hnsw = Hnsw(shape.dim, shape.metric == "l2", shape.quantised, shape.m, shape.ef_construction)

    @property
    def count(self) -> int:
        """How many labels it has, deleted ones included."""
        return self._hnsw.count

    @property
    def deleted(self) -> int:
        return self._hnsw.deleted

    @property
    def live(self) -> int:
        return self.count - self.deleted

    @property
    def memory_bytes(self) -> int:
        """About how much it takes: vectors, links (twice M on the lowest level) and bookkeeping."""
        return self.count * (self.shape.vector_bytes + 8 * self.shape.m + 100)

    @property
    def is_worn(self) -> bool:
        return self.deleted > MAX_WORN * self.count

    async def add(self, seqs: Keys, vectors: Vector, last_seq: int, threads: int = 1) -> None:
        """Add rows behind all others; from then on the graph has everything up to ``last_seq``."""
        if len(seqs):
            await self._thread.run(partial(self._hnsw.add, np.ascontiguousarray(vectors), seqs, threads))
        self.last_seq = last_seq

    async def forget(self, seqs: Keys) -> None:
        """Never find these rows again; those that are not here do not matter."""
        for start in range(0, len(seqs), _FORGOTTEN_AT_ONCE):
            await self._thread.run(partial(self._hnsw.forget, seqs[start : start + _FORGOTTEN_AT_ONCE]))

    async def search(
        self,
        queries: Vector,
        count: int,
        ef: int,
        among: Keys | None = None,
        limits: Limits = NO_LIMITS,
        *,
        then: Callable[[Sequence[Found]], T],
    ) -> T:
        """What ``then`` makes, on the graph's thread, of about the ``count`` nearest seqs to each of
        ``queries`` (n, dim), of those in ``among`` (ascending) if given.

        There are fewer if a search reaches no more, and None if it was given up at one of the limits, or if
        the graph is closed.
        """
        find = partial(self._find, queries, count, max(ef, count), among, limits)
        try:
            return await self._thread.run(lambda: then(find()))
        except ThreadClosed:
            return then([None] * len(queries))

    def _find(self, queries: Vector, count: int, ef: int, among: Keys | None, limits: Limits) -> list[Found]:
        labels = np.empty((len(queries), count), dtype=np.int64)
        found = np.empty(len(queries), dtype=np.int64)
        self._hnsw.search(queries, ef, among, limits.most, limits.least, labels, found)
        return [None if rows < 0 else row[:rows] for row, rows in zip(labels, found.tolist(), strict=True)]

    async def save(self, path: Path) -> None:
        """Write the graph to a file, in place. Nothing may be added meanwhile.

        Raises:
            RuntimeError: it could not be written whole.
        """
        await asyncio.to_thread(self._hnsw.save, path)

    async def load(self, path: Path, last_seq: int) -> None:
        """Become the graph of that file, which must be whole. Nobody may search meanwhile.

        Raises:
            RuntimeError: hnswlib cannot read it.
        """
        await asyncio.to_thread(self._hnsw.load, path)
        self.last_seq = last_seq

    async def labels(self) -> Keys:
        """Every seq in the graph, deleted ones included, ascending."""
        return await asyncio.to_thread(self._labels)

    def _labels(self) -> Keys:
        labels = np.empty(self.count, dtype=np.int64)
        self._hnsw.labels(labels)
        return np.sort(labels)
