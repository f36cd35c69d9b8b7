"""Vectors in eight bits beside the float32 ones, for scans that read a quarter of the bytes (codes.h).

They cost a quarter of the vectors' memory, and to make them takes ten times as long as a scan. So they are
made in the background for blocks that are scanned again and again, and let go when no scan has come for a
while. Vectors that eight bits hardly tell apart have none.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from index import _scan
from index.rows import Vector
from index.system_memory import anonymous_memory

# Shorter vectors are hardly shorter in eight bits.
_LEAST_DIM: Final = 2 * _scan.CODE_STEP
# Of embeddings it is .01. Where all rows have the same few large numbers, or are almost the same, it is 1,
# and nearly every row would be read twice.
_MOST_DOUBT: Final = 0.05
# Looks in a row at which no scan had come. Not for long: after a start, scans come until there is a graph.
_QUIET: Final = 15


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Of the vectors of a block, with the scales (n, 3) of its rows, as scan.cpp makes and reads them: step,
    doubt and squared length.
    """

    numbers: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + self.scales.nbytes


@dataclass(slots=True, eq=False)
class Scans:
    """What is known of the scans of a block: whether one came since somebody took note of it, and what makes
    the next one faster.
    """

    came: bool = False
    codes: Codes | None = None
    _looks: int = 0
    _in_vain: bool = False

    def take_note(self) -> int:
        """At how many looks in a row, this one included, a scan had come; below zero, at how many none
        had.
        """
        came, self.came = self.came, False
        self._looks = max(self._looks, 0) + 1 if came else min(self._looks, 0) - 1
        if self._looks <= -_QUIET:
            self.codes = None
        return self._looks

    def encode(self, vectors: Vector) -> None:
        """Have codes of ``vectors`` (n, dim), unless they are there already or would not help."""
        if self.codes is None and not self._in_vain and vectors.shape[1] >= _LEAST_DIM:
            codes = encode(vectors)
            self._in_vain = _doubt(codes, vectors) > _MOST_DOUBT
            self.codes = None if self._in_vain else codes


def encode(vectors: Vector) -> Codes:
    """The codes of ``vectors`` (n, dim)."""
    rows, dim = vectors.shape
    size = -(-dim // _scan.CODE_STEP) * _scan.CODE_STEP
    numbers = np.frombuffer(anonymous_memory(rows * size), dtype=np.int8)
    scales = np.empty((rows, _scan.SCALE_BYTES // 4), dtype=np.float32)
    _scan.encode(np.ascontiguousarray(vectors), numbers, scales)
    return Codes(numbers, scales)


def _doubt(codes: Codes, vectors: Vector) -> float:
    """What a product with the codes of a row may be off by, of how far the rows are from their middle."""
    _, doubts, squares = codes.scales.T.astype(np.float64)
    middle = vectors.mean(axis=0, dtype=np.float64)
    spread = math.sqrt(max(float(squares.mean() - middle @ middle), float(np.finfo(np.float32).tiny)))
    return float(np.median(doubts)) / spread
