"""Where the sequences of a packed batch lie: one behind the other, equal lengths side by side.

Knows no model. Invariant: lengths never fall, so neighbours of equal length form one group, which a CPU
attends to in one call.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Group:
    """``count`` sequences of ``length`` tokens from token ``first`` on."""

    first: int
    count: int
    length: int

    @property
    def tokens(self) -> slice:
        return slice(self.first, self.first + self.count * self.length)


@dataclass(frozen=True, slots=True)
class Layout:
    """``lengths`` of the sequences, rising; ``groups`` of equal ones; ``positions`` (tokens,) in each."""

    lengths: tuple[int, ...]
    groups: tuple[Group, ...]
    positions: torch.Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "Layout":
        """The layout of sequences that are sorted by length."""
        positions = np.concatenate([np.arange(length) for length in lengths])
        return cls(tuple(lengths), tuple(_groups(lengths)), torch.from_numpy(positions).to(device))

    def borders(self, device: torch.device) -> torch.Tensor:
        """Where each sequence begins and the last one ends, int32 (n + 1,)."""
        return torch.tensor([0, *np.cumsum(self.lengths)], dtype=torch.int32, device=device)


def _groups(lengths: Sequence[int]) -> Iterator[Group]:
    first = 0
    for length, equal in groupby(lengths):
        count = len(list(equal))
        yield Group(first, count, length)
        first += count * length
