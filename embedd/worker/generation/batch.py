"""The tokens of one step, those of all requests one behind the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from embedd.worker.generation.native import Spans
from embedd.worker.generation.requests import Work


@dataclass(frozen=True, slots=True)
class Batch:
    """``tokens`` and their ``positions`` (t,) int64, ``spans`` of the requests, and which ``rows`` (r,) int64
    are read for the next tokens.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    spans: Spans
    rows: torch.Tensor

    @classmethod
    def of(
        cls,
        tokens: Sequence[Sequence[int]],
        before: Sequence[int],
        pages: Sequence[Sequence[int]],
        sampled: Sequence[int],
    ) -> "Batch":
        """Sequences that go on with ``tokens`` behind ``before`` others; of each the last ``sampled`` are
        read.
        """
        borders = np.cumsum([0, *map(len, tokens)])
        positions = [np.arange(first, first + len(one)) for first, one in zip(before, tokens, strict=True)]
        rows = [np.arange(end - count, end) for end, count in zip(borders[1:], sampled, strict=True)]
        tables = np.zeros((len(pages), max(map(len, pages))), dtype=np.int32)
        for table, listed in zip(tables, pages, strict=True):
            table[: len(listed)] = listed
        spans = Spans(
            torch.from_numpy(borders.astype(np.int32)),
            torch.from_numpy(np.array(before, dtype=np.int32)),
            torch.from_numpy(tables),
        )
        return cls(
            torch.from_numpy(np.concatenate([np.asarray(one, dtype=np.int64) for one in tokens])),
            torch.from_numpy(np.concatenate(positions)),
            spans,
            torch.from_numpy(np.concatenate(rows)),
        )


def pack(plan: Sequence[Work]) -> Batch:
    """The batch of a step's work."""
    return Batch.of(
        [work.tokens for work in plan],
        [work.request.computed for work in plan],
        [work.request.pages for work in plan],
        [work.sampled for work in plan],
    )
