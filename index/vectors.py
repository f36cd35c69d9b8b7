"""The vectors of a collection in memory, and exact search over them.

Rows come in ascending order of ``seq`` and lie in blocks that never move, so a search in another thread
reads a view without a lock while rows are added or removed. A removed row keeps its place, marked as gone,
until its block is written anew; views taken before keep the old block.

Knows no ids and no SQLite. One task changes a table (the event loop's); any thread may read a view.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from index.blocks import Block, Keys, Mask, empty_block, members
from index.rows import Metric, Vector

Scores: TypeAlias = npt.NDArray[np.float32]

__all__ = ["BLOCK_ROWS", "Keys", "Mask", "Ranking", "TableView", "VectorTable", "best"]

BLOCK_ROWS: Final = 4096
# Below this part of a block it is faster to gather the matching rows than to score all of them.
GATHER_BELOW: Final = 0.25
# So many are scored at once: a mapped block is far larger than a processor's caches.
_SCORED_ROWS: Final = 4096


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows that were found, best first; equal scores in order of seq."""

    seqs: Keys
    scores: Scores

    def __len__(self) -> int:
        return len(self.seqs)


class TableView:
    """The rows of a table at one moment. Removals that come later may show; rows that come later do not."""

    def __init__(self, blocks: Sequence[Block], metric: Metric) -> None:
        self._blocks = blocks
        self._metric = metric

    @property
    def blocks(self) -> Sequence[Block]:
        """What the rows lie in, in order; none is empty."""
        return self._blocks

    def __len__(self) -> int:
        return sum(block.count for block in self._blocks)

    @property
    def rows(self) -> int:
        """How many rows a search goes over, those that do not count included."""
        return sum(len(block.seqs) for block in self._blocks)

    def seqs(self) -> Keys:
        """The seqs of all rows that count, ascending."""
        return np.concatenate([_NO_KEYS, *(block.seqs[block.live] for block in self._blocks)])

    def after(self, seq: int) -> "TableView":
        """The rows behind ``seq``."""
        first = bisect_right(self._blocks, seq, key=lambda block: block.last_seq)
        if first == len(self._blocks):
            return TableView([], self._metric)
        start = int(np.searchsorted(self._blocks[first].seqs, seq, side="right"))
        rest = self._blocks[first].part(slice(start, None))
        return TableView([rest, *self._blocks[first + 1 :]], self._metric)

    def newest(self, count: int) -> "TableView":
        """The last ``count`` rows that count, with those between them that do not."""
        chosen: list[Block] = []
        for block in reversed(self._blocks):
            if count <= 0:
                break
            places = np.flatnonzero(block.live)[-count:]
            if len(places):
                chosen.append(block.part(slice(int(places[0]), None)))
            count -= len(places)
        return TableView(chosen[::-1], self._metric)

    def halves(self) -> "tuple[TableView, TableView]":
        """Two views with about as many rows each, which together have all of them."""
        middle, left, right = self.rows // 2, list[Block](), list[Block]()
        for block in self._blocks:
            here = min(max(middle, 0), len(block.seqs))
            left.extend([block.part(slice(0, here))] if here else [])
            right.extend([block.part(slice(here, None))] if here < len(block.seqs) else [])
            middle -= len(block.seqs)
        return TableView(left, self._metric), TableView(right, self._metric)

    @property
    def first_seq(self) -> int:
        """The seq of the first row, whether it counts or not; 0 if there is none."""
        return int(self._blocks[0].seqs[0]) if self._blocks else 0

    def of_documents(self, documents: Keys) -> "TableView":
        """Only the rows whose document key is among ``documents`` (ascending) count."""
        return TableView(
            [replace(b, live=b.live & members(b.documents, documents)) for b in self._blocks],
            self._metric,
        )

    def first(self, count: int) -> tuple[Keys, Vector]:
        """The first ``count`` rows that count: seqs (n,) and a copy of the vectors (n, dim)."""
        seqs, vectors = [], []
        for block in self._blocks:
            places = np.flatnonzero(block.live)[:count]
            seqs.append(block.seqs[places])
            vectors.append(block.vectors[places])
            count -= len(places)
            if count == 0:
                break
        return (np.concatenate(seqs), np.concatenate(vectors)) if seqs else (_NO_KEYS, np.empty((0, 0), "f4"))

    def top(self, query: Vector, k: int) -> Ranking:
        """The ``min(k, len(self))`` best rows for ``query`` (dim,), scaled as the table is; exact."""
        return best([self._scored(block, query) for block in self._blocks], k)

    def scores_of(self, seqs: Keys, query: Vector) -> Ranking:
        """Those of ``seqs`` (in any order) that are here and count, scored and ordered."""
        wanted = np.sort(seqs)
        known, vectors = [_NO_KEYS], []
        for block in self._blocks_of(wanted):
            places = block.positions(wanted)
            known.append(block.seqs[places])
            vectors.append(block.vectors[places])
        if not vectors:
            return Ranking(_NO_KEYS, _NO_SCORES)
        scores = _score(np.concatenate(vectors), query, self._metric)
        return best([Ranking(np.concatenate(known), scores)], len(seqs))

    def _blocks_of(self, wanted: Keys) -> list[Block]:
        """The blocks between whose first and last seq one of ``wanted`` (ascending) lies."""
        # Few rows are wanted, and there may be hundreds of blocks: lists are faster to look into than arrays.
        sought = wanted.tolist()
        return [
            block
            for block in self._blocks
            if bisect_right(sought, block.last_seq) > bisect_left(sought, block.first_seq)
        ]

    def _scored(self, block: Block, query: Vector) -> Ranking:
        live = block.live.copy()
        if np.count_nonzero(live) < GATHER_BELOW * len(live):
            return Ranking(block.seqs[live], _score(block.vectors[live], query, self._metric))
        scores = np.empty(len(live), dtype=np.float32)
        for start in range(0, len(live), _SCORED_ROWS):
            rows = slice(start, start + _SCORED_ROWS)
            scores[rows] = _score(block.vectors[rows], query, self._metric)
        return Ranking(block.seqs[live], scores[live])


class VectorTable:
    """All vectors of a collection; its views are what is searched."""

    def __init__(self, dim: int, metric: Metric) -> None:
        self.metric: Metric = metric
        self.dim = dim
        self._full: list[Block] = []
        self._tail = empty_block(BLOCK_ROWS, dim)
        self._used = 0
        self.last_seq = 0

    def view(self) -> TableView:
        """All rows, without a copy."""
        tail = [self._tail.part(slice(0, self._used))] if self._used else []
        return TableView([*self._full, *tail], self.metric)

    @property
    def full_blocks(self) -> Sequence[Block]:
        """The blocks that take no more rows, in order."""
        return tuple(self._full)

    def append(self, seqs: Keys, documents: Keys, vectors: Vector) -> None:
        """Add rows behind all others: seqs (n,) ascending, document keys (n,), vectors (n, dim) as
        searched.
        """
        start = 0
        while start < len(seqs):
            count = min(BLOCK_ROWS - self._used, len(seqs) - start)
            source, target = slice(start, start + count), slice(self._used, self._used + count)
            self._tail.vectors[target] = vectors[source]
            self._tail.seqs[target] = seqs[source]
            self._tail.documents[target] = documents[source]
            self._tail.live[target] = True
            self._used += count
            start += count
            if self._used == BLOCK_ROWS:
                self._end_tail()
        if len(seqs):
            self.last_seq = int(seqs[-1])

    def adopt(self, block: Block) -> None:
        """Add a whole block, which is not empty, behind all other rows."""
        if self._used:
            self._end_tail()
        self._full.append(block)
        self.last_seq = block.last_seq

    def _end_tail(self) -> None:
        self._full.append(self._tail.part(slice(0, self._used)))
        self._tail, self._used = empty_block(BLOCK_ROWS, self.dim), 0

    def remove(self, seqs: Keys) -> None:
        """Rows of these seqs (in any order) are gone; unknown ones are ignored."""
        wanted = np.sort(seqs)
        for block in self.view().blocks:
            block.live[block.positions(wanted)] = False

    def replace(self, old: Sequence[Block], new: Block) -> None:
        """Put ``new`` in the place of the neighbours ``old``, whose rows that count it has all (if none: just
        take them away). Rows that went while it was made do not count in it.
        """
        start = next(n for n, block in enumerate(self._full) if block is old[0])
        assert all(a is b for a, b in zip(self._full[start:], old, strict=False))
        new.live[:] = members(new.seqs, np.concatenate([block.seqs[block.live] for block in old]))
        self._full[start : start + len(old)] = [new] if len(new.seqs) else []

    @property
    def memory_bytes(self) -> int:
        """Of all rows, without the vectors that are mapped."""
        return sum(
            block.seqs.nbytes
            + block.documents.nbytes
            + block.live.nbytes
            + (0 if block.file else block.vectors.nbytes)
            for block in [*self._full, self._tail]
        )

    @property
    def mapped_bytes(self) -> int:
        """Of the vectors that are mapped from files."""
        return sum(block.vectors.nbytes for block in self._full if block.file)


def best(found: Sequence[Ranking], k: int) -> Ranking:
    """The ``k`` best rows of several findings."""
    seqs = np.concatenate([_NO_KEYS, *(part.seqs for part in found)])
    scores = np.concatenate([_NO_SCORES, *(part.scores for part in found)])
    if 0 < k < len(scores):
        # All that tie with the last place stay until the order of seq decides.
        chosen = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        seqs, scores = seqs[chosen], scores[chosen]
    order = np.lexsort((seqs, -scores))[:k]
    return Ranking(seqs[order], scores[order])


def _score(vectors: Vector, query: Vector, metric: Metric) -> Scores:
    """Higher is better (n,): cosine (of vectors of length 1), dot product, or negative Euclidean distance.

    ``vecdot`` and not ``@``: BLAS spreads a matrix-vector product over all cores and waits for each, which
    beside a busy model worker turns 0.02 ms into 8. One core is fast enough, and a row's score does not
    depend on its place.
    """
    if metric == "l2":
        # |a|² - 2ab + |b|² would be faster and loses near neighbours of long vectors to rounding.
        difference = vectors - query
        distances: Scores = np.sqrt(np.vecdot(difference, difference))
        return -distances
    scores: Scores = np.vecdot(vectors, query)
    return np.clip(scores, -1.0, 1.0) if metric == "cosine" else scores


_NO_KEYS: Final = np.empty(0, dtype=np.int64)
_NO_SCORES: Final = np.empty(0, dtype=np.float32)
