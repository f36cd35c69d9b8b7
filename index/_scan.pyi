# scan.cpp, compiled on installation. Arrays are contiguous; each fills those that come last, the first two
# with the best rows first, and says how many rows there are.

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Seqs: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float32]
_Block: TypeAlias = tuple[_Seqs, _Floats, npt.NDArray[np.bool_]]

COSINE: int
DOT: int
L2: int

def top(
    blocks: Sequence[_Block], metric: int, query: _Floats, threads: int, seqs: _Seqs, scores: _Floats, /
) -> int: ...
def score(
    blocks: Sequence[_Block], metric: int, query: _Floats, wanted: _Seqs, seqs: _Seqs, scores: _Floats, /
) -> int: ...
def match(
    blocks: Sequence[tuple[_Seqs, _Seqs, npt.NDArray[np.bool_]]],
    documents: _Seqs,
    live: npt.NDArray[np.bool_],
    seqs: _Seqs,
    /,
) -> int: ...
