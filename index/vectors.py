"""The vectors of a collection in memory, and exact search over them.

Rows come in ascending order of ``seq`` and lie in blocks that never move, so a search in another thread
reads a view without a lock while rows are added or removed. A removed row keeps its place, marked as gone,
until its block is compacted into a new one; views taken before keep the old block.

Knows no ids and no SQLite. One task changes a table (the event loop's); any thread may read a view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from index.rows import Metric, Vector

Keys: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Scores: TypeAlias = npt.NDArray[np.float32]

BLOCK_ROWS: Final = 4096
# A block of which more than this part is gone is compacted.
MAX_GONE: Final = 0.25
# Below this part of a block it is faster to gather the matching rows than to score all of them.
GATHER_BELOW: Final = 0.25


@dataclass(frozen=True, slots=True)
class Block:
    """Rows (n, dim) as they are searched, and what belongs to each: seq, document key, whether it counts."""

    vectors: Vector
    seqs: Keys
    documents: Keys
    live: Mask

    def part(self, rows: slice | Mask) -> "Block":
        return Block(self.vectors[rows], self.seqs[rows], self.documents[rows], self.live[rows])

    def positions(self, wanted: Keys) -> npt.NDArray[np.intp]:
        """Where those of ``wanted`` (ascending seqs) stand that are here and count."""
        if not len(self.seqs):
            return np.empty(0, dtype=np.intp)
        low, high = np.searchsorted(wanted, [self.seqs[0], self.seqs[-1] + 1])
        places = np.searchsorted(self.seqs, wanted[low:high])
        found: npt.NDArray[np.intp] = places[(self.seqs[places] == wanted[low:high]) & self.live[places]]
        return found

    @property
    def is_sparse(self) -> bool:
        return bool(np.count_nonzero(self.live) < (1 - MAX_GONE) * len(self.live))


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

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(block.live)) for block in self._blocks)

    @property
    def rows(self) -> int:
        """How many rows a search goes over, those that do not count included."""
        return sum(len(block.seqs) for block in self._blocks)

    def seqs(self) -> Keys:
        """The seqs of all rows that count, ascending."""
        return np.concatenate([_NO_KEYS, *(block.seqs[block.live] for block in self._blocks)])

    def after(self, seq: int) -> "TableView":
        """The rows behind ``seq``."""
        starts = [int(np.searchsorted(block.seqs, seq, side="right")) for block in self._blocks]
        tails = [block.part(slice(start, None)) for block, start in zip(self._blocks, starts, strict=True)]
        return TableView([tail for tail in tails if len(tail.seqs)], self._metric)

    def newest(self, count: int) -> "TableView":
        """At least the last ``count`` rows that count: whole blocks from the end."""
        chosen: list[Block] = []
        for block in reversed(self._blocks):
            if count <= 0:
                break
            chosen.append(block)
            count -= int(np.count_nonzero(block.live))
        return TableView(chosen[::-1], self._metric)

    @property
    def first_seq(self) -> int:
        """The seq of the first row, whether it counts or not; 0 if there is none."""
        return next((int(block.seqs[0]) for block in self._blocks if len(block.seqs)), 0)

    def of_documents(self, documents: Keys) -> "TableView":
        """Only the rows whose document key is among ``documents`` (ascending) count."""
        return TableView(
            [
                Block(b.vectors, b.seqs, b.documents, b.live & _members(b.documents, documents))
                for b in self._blocks
            ],
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
        found = []
        for block in self._blocks:
            if len(places := block.positions(wanted)):
                scores = _score(block.vectors[places], query, self._metric)
                found.append(Ranking(block.seqs[places], scores))
        return best(found, len(seqs))

    def _scored(self, block: Block, query: Vector) -> Ranking:
        live = block.live.copy()
        if np.count_nonzero(live) < GATHER_BELOW * len(live):
            return Ranking(block.seqs[live], _score(block.vectors[live], query, self._metric))
        return Ranking(block.seqs[live], _score(block.vectors, query, self._metric)[live])


class VectorTable:
    """All vectors of a collection; its views are what is searched."""

    def __init__(self, dim: int, metric: Metric) -> None:
        self._dim = dim
        self._metric: Metric = metric
        self._full: list[Block] = []
        self._tail = _empty_block(dim)
        self._used = 0
        self.last_seq = 0

    def view(self) -> TableView:
        """All rows, without a copy."""
        return TableView([*self._full, self._tail.part(slice(0, self._used))], self._metric)

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
                self._full.append(self._tail)
                self._tail, self._used = _empty_block(self._dim), 0
        if len(seqs):
            self.last_seq = int(seqs[-1])

    def remove(self, seqs: Keys) -> None:
        """Rows of these seqs (in any order) are gone; unknown ones are ignored."""
        wanted = np.sort(seqs)
        for block in [*self._full, self._tail.part(slice(0, self._used))]:
            block.live[block.positions(wanted)] = False
        if any(block.is_sparse for block in self._full):
            self._compact()

    def _compact(self) -> None:
        """Replace sparse blocks by dense ones, and join neighbours that fit into one."""
        compacted: list[Block] = []
        for block in self._full:
            kept = block.part(block.live.copy()) if block.is_sparse else block
            if compacted and len(compacted[-1].seqs) + len(kept.seqs) <= BLOCK_ROWS:
                compacted[-1] = _joined(compacted[-1], kept)
            elif len(kept.seqs):
                compacted.append(kept)
        self._full = compacted


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


def _members(values: Keys, wanted: Keys) -> Mask:
    """Which of ``values`` are among ``wanted`` (ascending)."""
    if not len(wanted):
        return np.zeros(len(values), dtype=np.bool_)
    places = np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)
    members: Mask = wanted[places] == values
    return members


def _empty_block(dim: int) -> Block:
    return Block(
        np.empty((BLOCK_ROWS, dim), dtype=np.float32),
        np.empty(BLOCK_ROWS, dtype=np.int64),
        np.empty(BLOCK_ROWS, dtype=np.int64),
        np.zeros(BLOCK_ROWS, dtype=np.bool_),
    )


def _joined(one: Block, other: Block) -> Block:
    return Block(
        np.concatenate([one.vectors, other.vectors]),
        np.concatenate([one.seqs, other.seqs]),
        np.concatenate([one.documents, other.documents]),
        np.concatenate([one.live, other.live]),
    )


_NO_KEYS: Final = np.empty(0, dtype=np.int64)
_NO_SCORES: Final = np.empty(0, dtype=np.float32)
