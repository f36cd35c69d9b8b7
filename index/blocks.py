"""Runs of rows as exact search goes over them: vectors, and what belongs to each.

The vectors lie in memory or in a mapped file; whoever searches does not see which. Rows are in ascending
order of seq and never move. One that is gone keeps its place until its block is written anew.
"""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from index.codes import Scans
from index.rows import Vector
from index.system_memory import anonymous_memory

Keys: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

# To set and read flags is five times as fast as to search, unless there are too many for the numbers between.
_FLAGS_PER_VALUE: Final = 16
# A block of which more than this part is gone is written anew.
MAX_GONE: Final = 0.25


@dataclass(slots=True, eq=False)
class MappedFile:
    """A file that vectors are mapped from."""

    path: Path
    mapping: mmap.mmap


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows (n, dim) as they are searched, and what belongs to each: seq, document key, whether it counts.

    ``file`` is where the vectors are, if they are not in memory.
    """

    vectors: Vector
    seqs: Keys
    documents: Keys
    live: Mask
    file: MappedFile | None = None
    scans: Scans = field(default_factory=Scans)

    @property
    def count(self) -> int:
        """How many rows count."""
        return int(np.count_nonzero(self.live))

    @property
    def last_seq(self) -> int:
        return int(self.seqs[-1])

    @property
    def is_sparse(self) -> bool:
        return self.count < (1 - MAX_GONE) * len(self.live)

    def part(self, rows: slice | Mask) -> "Block":
        return Block(self.vectors[rows], self.seqs[rows], self.documents[rows], self.live[rows])

    def positions(self, wanted: Keys) -> npt.NDArray[np.intp]:
        """Where those of ``wanted`` (ascending seqs) stand that are here and count."""
        low, high = np.searchsorted(wanted, [self.seqs[0], self.seqs[-1] + 1])
        places = np.searchsorted(self.seqs, wanted[low:high])
        found: npt.NDArray[np.intp] = places[(self.seqs[places] == wanted[low:high]) & self.live[places]]
        return found


def empty_block(rows: int, dim: int) -> Block:
    """Room for rows."""
    return Block(
        np.frombuffer(anonymous_memory(4 * rows * dim), dtype=np.float32).reshape(rows, dim),
        np.empty(rows, dtype=np.int64),
        np.empty(rows, dtype=np.int64),
        np.zeros(rows, dtype=np.bool_),
    )


def without_gone(blocks: Sequence[Block]) -> Block:
    """One block in memory with the rows of ``blocks`` that count."""
    masks = [block.live.copy() for block in blocks]  # rows may go meanwhile
    pairs = list(zip(blocks, masks, strict=True))
    seqs = np.concatenate([block.seqs[mask] for block, mask in pairs])
    return Block(
        np.concatenate([block.vectors[mask] for block, mask in pairs]),
        seqs,
        np.concatenate([block.documents[mask] for block, mask in pairs]),
        np.ones(len(seqs), dtype=np.bool_),
    )


def members(values: Keys, wanted: Keys) -> Mask:
    """Which of ``values`` are among ``wanted`` (ascending)."""
    if not len(values):
        return np.zeros(len(values), dtype=np.bool_)
    first, last = int(values.min()), int(values.max())
    near = wanted[slice(*np.searchsorted(wanted, [first, last + 1]))]
    if not len(near):
        return np.zeros(len(values), dtype=np.bool_)
    if last - first > _FLAGS_PER_VALUE * len(values):
        places = np.minimum(np.searchsorted(near, values), len(near) - 1)
        found: Mask = near[places] == values
        return found
    flags = np.zeros(last - first + 1, dtype=np.bool_)
    flags[near - first] = True
    return flags[values - first]
