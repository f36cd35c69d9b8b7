"""Fixed inputs whose answers tell models apart: servers of one model give nearly the same, others do not."""

import numpy as np

from embedd.remote.peers import Numbers

PROBE_TEXT = "The harbour is closed on Sundays between six and nine."
PROBE_PAIR = ("When is the harbour closed?", [PROBE_TEXT])

_LEAST_COSINE = 0.99
_LARGEST_GAP = 0.5
"""Between raw scores of one model in float32, float16 and bfloat16, with much to spare."""


def agree(one: Numbers | None, other: Numbers | None) -> bool:
    """Whether two answers (dim,) to a probe are of one model, however exactly each computes; None was not
    asked.
    """
    if one is None or other is None:
        return True
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return False
    if len(one) == 1:
        return bool(abs(one[0] - other[0]) <= _LARGEST_GAP)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return lengths > 0 and float(one @ other) / lengths >= _LEAST_COSINE
