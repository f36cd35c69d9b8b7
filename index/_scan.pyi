# scan.cpp, compiled on installation. Arrays are contiguous; each fills those that come last, the first two
# with the best rows first, and says how many rows there are. `encode` makes what a scan may be given besides:
# of each row (n, dim) as many codes as dim is, rounded up to CODE_STEP, and a scale of SCALE_BYTES: step,
# doubt and squared length.

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Seqs: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float32]
_Codes: TypeAlias = npt.NDArray[np.int8]
_Scales: TypeAlias = npt.NDArray[np.float32]
_Block: TypeAlias = tuple[_Seqs, _Floats, npt.NDArray[np.bool_]]
_Coded: TypeAlias = tuple[_Seqs, _Floats, npt.NDArray[np.bool_], _Codes, _Scales]

COSINE: int
DOT: int
L2: int
CODE_STEP: int
SCALE_BYTES: int

def encode(vectors: _Floats, codes: _Codes, scales: _Scales, /) -> None: ...
def top(
    blocks: Sequence[_Block | _Coded],
    metric: int,
    query: _Floats,
    threads: int,
    seqs: _Seqs,
    scores: _Floats,
    /,
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
