"""Vectors in eight bits beside the float32 ones, for scans that read a quarter of the bytes (codes.h).

They cost a quarter of the vectors' memory, and to make them takes ten times as long as a scan. So they are
made in the background for blocks that are scanned, and let go when no scan has come for a while.
"""

import mmap
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from index import _scan
from index.rows import Vector

# Shorter vectors are hardly shorter in eight bits.
_LEAST_DIM: Final = 2 * _scan.CODE_STEP
# So many times in a row nobody has scanned.
_QUIET: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Of the vectors of a block, with the scales of its rows, as scan.cpp makes and reads them."""

    numbers: npt.NDArray[np.int8]
    scales: npt.NDArray[np.uint8]

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
    _quiet: int = 0

    def take_note(self) -> bool:
        """Whether one came since the last time."""
        came, self.came = self.came, False
        self._quiet = 0 if came else self._quiet + 1
        if self._quiet >= _QUIET:
            self.codes = None
        return came

    def encode(self, vectors: Vector) -> None:
        """Have codes of ``vectors`` (n, dim), unless they are there already, or would hardly be shorter."""
        if self.codes is None and vectors.shape[1] >= _LEAST_DIM:
            self.codes = encode(vectors)


def encode(vectors: Vector) -> Codes:
    """The codes of ``vectors`` (n, dim)."""
    rows, dim = vectors.shape
    size = -(-dim // _scan.CODE_STEP) * _scan.CODE_STEP
    numbers = np.frombuffer(anonymous_memory(rows * size), dtype=np.int8)
    scales = np.empty(rows * _scan.SCALE_BYTES, dtype=np.uint8)
    _scan.encode(np.ascontiguousarray(vectors), numbers, scales)
    return Codes(numbers, scales)


def anonymous_memory(size_bytes: int) -> mmap.mmap:
    """Memory that goes back to the system when nobody has it any more; malloc would keep it."""
    return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
