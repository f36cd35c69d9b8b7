"""Which of the pieces that wait make a batch: a budget of tokens, a cap on attention, neighbours in length.

Pure functions of lengths.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

Forward = Literal["packed", "padded"]
"""Whether a worker runs sequences end to end, or each as long as the longest."""

_AREA_PER_TOKEN = 1024
"""Sequences up to this long fill a batch; of longer ones there are fewer, as their attention takes over."""

LOOK_AHEAD: Mapping[Forward, int] = {"packed": 16, "padded": 32}
"""Batches' worth of tokens that are looked over for pieces of similar length. With more, batches would be a
little cheaper, but requests of many pieces would all be answered late instead of one after the other.
"""

_MOST_AHEAD = 1024
"""Pieces, whatever their length: to cut a batch from them takes 0.2 ms, to run it tens."""

_CPU_TOKENS, _GPU_TOKENS = 512, 16_384
"""On a CPU for each thread."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """At most ``max_tokens`` in a batch and ``max_area``, the sum of the squared lengths; padding counts. At
    most ``max_inputs``.

    Only a single sequence may exceed them.
    """

    max_tokens: int
    max_area: int
    max_inputs: int = 2**31

    @classmethod
    def of_tokens(cls, max_tokens: int, max_inputs: int = 2**31) -> "BatchLimits":
        """For so many tokens and inputs."""
        return cls(max_tokens, max_tokens * _AREA_PER_TOKEN, max_inputs)

    @classmethod
    def of_device(cls, device: str, max_tokens: int | None = None, threads: int = 1) -> "BatchLimits":
        """For a worker on ``device`` (``cpu`` with ``threads``, ``cuda:0``): enough to use it well, and no
        more, because a person waits for a batch that runs.
        """
        on_cpu = device.partition(":")[0] == "cpu"
        tokens = max_tokens or (_CPU_TOKENS * max(2, threads) if on_cpu else _GPU_TOKENS)
        return cls.of_tokens(tokens)

    def within(self, max_tokens: int | None) -> "BatchLimits":
        """The same with fewer tokens."""
        tokens = self.max_tokens if max_tokens is None else min(self.max_tokens, max_tokens)
        return BatchLimits(tokens, self.max_area, self.max_inputs)


def look_ahead(lengths: Iterable[int], limits: BatchLimits, forward: Forward) -> int:
    """How many of the pieces that wait, oldest first, a batch is cut from."""
    tokens = LOOK_AHEAD[forward] * limits.max_tokens
    for count, length in enumerate(islice(lengths, _MOST_AHEAD), start=1):
        tokens -= length
        if tokens <= 0:
            return count
    return _MOST_AHEAD


def cut_batch(lengths: Sequence[int], limits: BatchLimits, forward: Forward) -> list[int]:
    """The indices of the pieces to run together, shortest first; index 0, the oldest, is always among them.

    Of all runs of neighbours in length that hold index 0 and keep to ``limits``, the one with the most
    tokens, padding left out; index 0 alone if it exceeds them. Neighbours pad little, and equal lengths
    are attended to in one call where there is no padding.
    """
    if len(lengths) == 1:
        return [0]  # a person's query, for which the arrays below would take 0.03 ms
    sizes = np.maximum(np.asarray(lengths, dtype=np.int64), 1)
    order = np.argsort(sizes, kind="stable")
    sizes = sizes[order]
    oldest = int(np.flatnonzero(order == 0)[0])
    firsts = _first_of_runs(sizes, limits, forward)[oldest:]
    sums = _running_sums(sizes)
    tokens = np.where(firsts <= oldest, sums[oldest + 1 :] - sums[firsts], 0)
    last = int(np.argmax(tokens))
    if not tokens[last]:
        return [0]
    chosen: list[int] = order[firsts[last] : oldest + last + 1].tolist()
    return chosen


def _first_of_runs(
    sizes: npt.NDArray[np.int64], limits: BatchLimits, forward: Forward
) -> npt.NDArray[np.int64]:
    """For each position in ascending ``sizes`` (n,), where the longest legal run that ends there begins;
    beyond it where even one piece is too many.
    """
    ends = np.arange(1, len(sizes) + 1)
    by_count = np.maximum(ends - limits.max_inputs, 0)
    if forward == "padded":
        counts = np.minimum(limits.max_tokens // sizes, limits.max_area // sizes**2)
        return np.maximum(ends - counts, by_count)
    sums, areas = _running_sums(sizes), _running_sums(sizes**2)
    by_tokens = np.searchsorted(sums, sums[1:] - limits.max_tokens)
    by_area = np.searchsorted(areas, areas[1:] - limits.max_area)
    return np.maximum(np.maximum(by_tokens, by_area), by_count)


def _running_sums(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
