"""The vectors of a collection in memory, and exact search over them.

Rows come in ascending order of ``seq`` and lie in blocks that never move, so a search in another thread
reads a view without a lock while rows are added or removed. A removed row keeps its place, marked as gone,
until its block is written anew; views taken before keep the old block.

Knows no ids and no SQLite. One task changes a table (the event loop's); any thread may read a view.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from index import _scan
from index.blocks import Block, Keys, Mask, empty_block, members
from index.rows import Metric, Vector

Scores: TypeAlias = npt.NDArray[np.float32]

__all__ = ["BLOCK_ROWS", "Keys", "Mask", "Ranking", "TableView", "VectorTable", "best"]

BLOCK_ROWS: Final = 4096


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows that were found, best first; equal scores in order of seq."""

    seqs: Keys
    scores: Scores

    def __len__(self) -> int:
        return len(self.seqs)

    def first(self, k: int) -> "Ranking":
        """The ``k`` best."""
        return Ranking(self.seqs[:k], self.scores[:k])


class TableView:
    """The rows of a table at one moment. Removals that come later may show; rows that come later do not."""

    def __init__(
        self,
        blocks: Sequence[Block],
        metric: Metric,
        *,
        count: int | None = None,
        seqs: Keys | None = None,
    ) -> None:
        """With how many rows count, and their seqs, where that is known."""
        self._blocks = blocks
        self._metric = metric
        self._count = count
        self._seqs = seqs

    @property
    def blocks(self) -> Sequence[Block]:
        """What the rows lie in, in order; none is empty."""
        return self._blocks

    def __len__(self) -> int:
        return sum(block.count for block in self._blocks) if self._count is None else self._count

    @property
    def rows(self) -> int:
        """How many rows a search goes over, those that do not count included."""
        return sum(len(block.seqs) for block in self._blocks)

    @property
    def coded(self) -> int:
        """How many of the ``rows`` have codes."""
        return sum(len(block.seqs) for block in self._blocks if block.scans.codes)

    def seqs(self) -> Keys:
        """The seqs of all rows that count, ascending."""
        if self._seqs is not None:
            return self._seqs
        return np.concatenate([_NO_KEYS, *(block.seqs[block.live] for block in self._blocks)])

    def holds(self, seqs: Keys) -> Mask:
        """Which of ``seqs`` (each once, in any order) are here and count."""
        order = np.argsort(seqs)
        wanted, here = seqs[order], np.zeros(len(seqs), dtype=np.bool_)
        for block in self._blocks:
            places = np.searchsorted(wanted, block.seqs[block.positions(wanted)])
            here[order[places]] = True
        return here

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

    @property
    def first_seq(self) -> int:
        """The seq of the first row, whether it counts or not; 0 if there is none."""
        return int(self._blocks[0].seqs[0]) if self._blocks else 0

    def frozen(self) -> "TableView":
        """The same rows; removals that come later do not show."""
        blocks = [replace(block, live=block.live.copy()) for block in self._blocks]
        return TableView(blocks, self._metric, count=self._count)

    def of_documents(self, documents: Keys) -> "TableView":
        """Only the rows whose document key is among ``documents`` (ascending) count."""
        live, seqs = np.empty(self.rows, dtype=np.bool_), np.empty(self.rows, dtype=np.int64)
        arrays = [(block.seqs, block.documents, block.live) for block in self._blocks]
        count = _scan.match(arrays, documents, live, seqs)
        blocks, end = [], 0
        for block in self._blocks:
            start, end = end, end + len(block.seqs)
            blocks.append(replace(block, live=live[start:end]))
        return TableView(blocks, self._metric, count=count, seqs=seqs[:count])

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

    def top(self, query: Vector, k: int, threads: int = 1) -> Ranking:
        """The ``min(k, len(self))`` best rows for ``query`` (dim,), scaled as the table is; exact."""
        seqs, scores = _room(min(k, self.rows))
        blocks = [_scanned(block) for block in self._blocks]
        found = _scan.top(blocks, _METRICS[self._metric], query, threads, seqs, scores)
        return Ranking(seqs[:found], scores[:found])

    def scores_of(self, seqs: Keys, query: Vector) -> Ranking:
        """Those of ``seqs`` (in any order) that are here and count, scored and ordered."""
        known, scores = _room(len(seqs))
        found = _scan.score(self._arrays(), _METRICS[self._metric], query, seqs, known, scores)
        return Ranking(known[:found], scores[:found])

    def _arrays(self) -> list[tuple[Keys, Vector, Mask]]:
        return [(block.seqs, block.vectors, block.live) for block in self._blocks]


class VectorTable:
    """All vectors of a collection; its views are what is searched."""

    def __init__(self, dim: int, metric: Metric) -> None:
        self.metric: Metric = metric
        self.dim = dim
        self._full: list[Block] = []
        self._tail = empty_block(BLOCK_ROWS, dim)
        self._used = 0
        self._count = 0
        self.last_seq = 0

    def view(self) -> TableView:
        """All rows, without a copy."""
        tail = [self._tail.part(slice(0, self._used))] if self._used else []
        return TableView([*self._full, *tail], self.metric, count=self._count)

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
        self._count += len(seqs)
        if len(seqs):
            self.last_seq = int(seqs[-1])

    def adopt(self, block: Block) -> None:
        """Add a whole block, which is not empty, behind all other rows."""
        if self._used:
            self._end_tail()
        self._full.append(block)
        self._count += block.count
        self.last_seq = block.last_seq

    def _end_tail(self) -> None:
        self._full.append(self._tail.part(slice(0, self._used)))
        self._tail, self._used = empty_block(BLOCK_ROWS, self.dim), 0

    def remove(self, seqs: Keys) -> None:
        """Rows of these seqs (in any order) are gone; unknown ones are ignored."""
        wanted = np.unique(seqs)
        for block in self.view().blocks:
            places = block.positions(wanted)
            block.live[places] = False
            self._count -= len(places)

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
        return (
            sum(
                block.seqs.nbytes
                + block.documents.nbytes
                + block.live.nbytes
                + (0 if block.file else block.vectors.nbytes)
                for block in [*self._full, self._tail]
            )
            + self.codes_bytes
        )

    @property
    def codes_bytes(self) -> int:
        """Of the vectors in eight bits."""
        return sum(block.scans.codes.nbytes for block in self._full if block.scans.codes)

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


def _scanned(block: Block) -> tuple[Any, ...]:
    """A block's arrays for a scan, of which it takes note."""
    block.scans.came = True
    arrays, codes = (block.seqs, block.vectors, block.live), block.scans.codes
    return arrays if codes is None else (*arrays, codes.numbers, codes.scales)


def _room(rows: int) -> tuple[Keys, Scores]:
    return np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.float32)


_METRICS: Final = {"cosine": _scan.COSINE, "dot": _scan.DOT, "l2": _scan.L2}
_NO_KEYS: Final = np.empty(0, dtype=np.int64)
_NO_SCORES: Final = np.empty(0, dtype=np.float32)
