# late.cpp, compiled on installation. Arrays are contiguous; the last one is filled.

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Floats: TypeAlias = npt.NDArray[np.float32]
_Offsets: TypeAlias = npt.NDArray[np.int32]

def score_codes(
    query: _Floats, weights: _Floats, codes: npt.NDArray[np.int8], offsets: _Offsets, scores: _Floats, /
) -> None: ...
def score_packed(
    query: _Floats, weights: _Floats, packed: bytes, offsets: _Offsets, scores: _Floats, /
) -> None: ...
