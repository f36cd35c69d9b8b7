"""Which rows of a batch run beside each other, on the cores of one CPU.

A batch is cut into parts that run at the same time, each in one thread. The other way, every product over
all cores, makes threads meet some hundred times in a batch: on two cores it gains a third where nothing
else runs, and loses all of it beside anything else (bench/NOTES.md). Pure functions of lengths.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_FEWEST_TOKENS = 128
"""A part with fewer tokens would spend its time on calling kernels, one thread at a time."""
_EVEN_LENGTH = 512
"""Where a token's attention costs about as much as its products."""
_FLOP_PER_THREAD = 1e10
"""A forward with less is not worth waking another thread: meeting costs what is gained."""


def cut_parts(lengths: Sequence[int], most: int) -> list[slice]:
    """At most ``most`` runs of rows, about equally expensive; ``lengths`` rise."""
    count = min(most, len(lengths), max(1, sum(lengths) // _FEWEST_TOKENS))
    if count == 1:
        return [slice(0, len(lengths))]
    sizes = np.asarray(lengths, dtype=np.int64)
    done = np.cumsum(sizes * (sizes + _EVEN_LENGTH))
    shares = done[-1] * np.arange(1, count) / count
    borders = sorted({0, *np.searchsorted(done, shares, side="right").tolist(), len(lengths)})
    return [slice(first, last) for first, last in pairwise(borders)]


def threads_within(tokens: int, weights: int, threads: int) -> int:
    """On how many of ``threads`` one part runs, whose tokens each meet so many ``weights`` once."""
    return max(1, min(threads, int(2 * tokens * weights / _FLOP_PER_THREAD)))
