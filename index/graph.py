"""An HNSW graph (hnswlib) that one thread owns, so that readers and the writer can never meet in it.

Labels are seqs: ours, ascending, never used again. Rows enter in that order, so the graph has every row up to
``last_seq`` that was there when its turn came. What hnswlib 0.8.0 does and this module answers:

* ``knn_query`` raises if it cannot fill k: ``search`` asks for no more than there are, and says None if it
still fails.
* ``get_current_count`` counts deleted labels: they are counted here.
* ``load_index`` resets ef to 10, and ef is shared: every search sets its own, on the owner's thread.
* ``mark_deleted`` raises on unknown and on deleted labels: both are what was wanted.
* ``resize_index`` and ``add_items`` must not run beside a search: one thread does all.
* Deleted rows keep their memory: ``is_worn`` says when to build a new graph.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import hnswlib
import numpy as np

from index.rows import Metric, Vector
from index.vectors import Keys

T = TypeVar("T")
_SPACES: Final = {"cosine": "ip", "dot": "ip", "l2": "l2"}
MAX_WORN: Final = 0.2
# About a millisecond, in which no search comes in.
_FORGOTTEN_AT_ONCE: Final = 2048


@dataclass(frozen=True, slots=True)
class GraphShape:
    """What a graph is built for and with; a stored one of another shape is of no use."""

    dim: int
    metric: Metric
    m: int = 16
    ef_construction: int = 200


class Graph:
    """Made empty; ``executor`` has exactly one thread, which every graph of a collection shares."""

    def __init__(self, shape: GraphShape, executor: ThreadPoolExecutor) -> None:
        self.shape = shape
        self.last_seq = 0
        self.count = 0
        self.deleted = 0
        self._executor = executor
        self._index = self._empty_index()
        self._index.init_index(max_elements=1024, M=shape.m, ef_construction=shape.ef_construction)

    def _empty_index(self) -> Any:
        return hnswlib.Index(space=_SPACES[self.shape.metric], dim=self.shape.dim)

    @property
    def live(self) -> int:
        return self.count - self.deleted

    @property
    def memory_bytes(self) -> int:
        """About how much it takes: vectors, links (twice M on the lowest level) and bookkeeping."""
        return self.count * (4 * self.shape.dim + 8 * self.shape.m + 100)

    @property
    def is_worn(self) -> bool:
        return self.deleted > MAX_WORN * self.count

    async def add(self, seqs: Keys, vectors: Vector, last_seq: int) -> None:
        """Add rows behind all others; from then on the graph has everything up to ``last_seq``."""
        if len(seqs):
            await self._run(lambda: self._add(seqs, vectors))
        self.count += len(seqs)
        self.last_seq = last_seq

    def _add(self, seqs: Keys, vectors: Vector) -> None:
        needed = self.count + len(seqs)
        if needed > self._index.get_max_elements():
            self._index.resize_index(max(needed, self._index.get_max_elements() * 3 // 2))
        self._index.add_items(vectors, seqs, num_threads=1)

    async def forget(self, seqs: Keys) -> None:
        """Never find these rows again; those that are not here do not matter."""
        for start in range(0, len(seqs), _FORGOTTEN_AT_ONCE):
            part = seqs[start : start + _FORGOTTEN_AT_ONCE].tolist()
            self.deleted += await self._run(partial(sum, map(self._forget, part)))

    def _forget(self, seq: int) -> bool:
        try:
            self._index.mark_deleted(seq)
        except RuntimeError:
            return False
        return True

    async def search(self, query: Vector, count: int, ef: int) -> Keys | None:
        """About ``count`` nearest seqs to ``query`` (dim,); None if it cannot reach so many, or is closed."""
        try:
            return await self._run(lambda: self._search(query, count, ef))
        except RuntimeError:
            return None

    def _search(self, query: Vector, count: int, ef: int) -> Keys:
        if (count := min(count, self.live)) == 0:
            return np.empty(0, dtype=np.int64)
        self._index.set_ef(max(ef, count))
        labels, _ = self._index.knn_query(query, k=count, num_threads=1)
        found: Keys = labels[0].astype(np.int64)
        return found

    async def save(self, path: Path) -> None:
        """Write the graph to a file, as hnswlib does it: in place and unchecked."""
        await self._run(lambda: self._index.save_index(str(path)))

    async def load(self, path: Path, last_seq: int) -> None:
        """Become the graph of that file, which must be whole.

        Raises:
            RuntimeError: hnswlib cannot read it.
        """
        await self._run(lambda: self._load(path))
        self.last_seq = last_seq

    def _load(self, path: Path) -> None:
        self._index = self._empty_index()
        self._index.load_index(str(path))
        self.count = self._index.get_current_count()

    async def labels(self) -> Keys:
        """Every seq in the graph, deleted ones included, ascending."""
        return np.sort(np.array(await self._run(self._index.get_ids_list), dtype=np.int64))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
