"""Where the sequences of a packed batch lie: one behind the other, similar lengths side by side.

Knows no model. Invariant: lengths never fall, so neighbours form groups that a CPU attends to in one call.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch

_FEWEST = 8


def round_rows(rows: int) -> int:
    """``rows``, or what they are filled up to for a product: one of sixteen numbers per octave above it.

    oneDNN compiles a kernel for every shape and keeps half a megabyte of each for ever: what is handed to it
    comes in few shapes (bench/NOTES.md).
    """
    return _rounded(rows, per_octave=16)


def _similar(length: int) -> int:
    return _rounded(length, per_octave=8)


def _rounded(count: int, per_octave: int) -> int:
    step = max(_FEWEST, (1 << (count - 1).bit_length()) // (2 * per_octave))
    return -(-count // step) * step


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences of ``lengths`` from token ``first`` on, attended to as the longest one's tokens each.

    ``spread`` (count * longest,) says which of the group's tokens stands in each place, any one where none
    does, ``real`` (tokens,) which places are taken, and ``empty`` (count, 1, longest) which are not; all None
    where all are taken.
    """

    first: int
    lengths: tuple[int, ...]
    spread: torch.Tensor | None = None
    real: torch.Tensor | None = None
    empty: torch.Tensor | None = None

    @classmethod
    def of(cls, first: int, lengths: tuple[int, ...]) -> "Group":
        longest = lengths[-1]
        if lengths[0] == longest:
            return cls(first, lengths)
        places = np.arange(longest)
        starts = np.cumsum((0, *lengths[:-1]))[:, None]
        taken = places < np.array(lengths)[:, None]
        spread = np.where(taken, starts + places, starts)
        found = (spread.ravel(), np.flatnonzero(taken), ~taken[:, None])
        return cls(first, lengths, *map(torch.from_numpy, found))

    @property
    def longest(self) -> int:
        return self.lengths[-1]

    @property
    def tokens(self) -> slice:
        return slice(self.first, self.first + sum(self.lengths))

    def split(self, states: torch.Tensor) -> torch.Tensor:
        """The group's part of (tokens, heads, d) as (count, heads, longest, d)."""
        part = states[self.tokens]
        if self.spread is not None:
            part = part.index_select(0, self.spread)
        return part.view(len(self.lengths), self.longest, *states.shape[1:]).transpose(1, 2)

    def join(self, attended: torch.Tensor) -> torch.Tensor:
        """What came out for (count, heads, longest, d) as (tokens, heads, d)."""
        part = attended.transpose(1, 2).flatten(0, 1)
        return part if self.real is None else part.index_select(0, self.real)


@dataclass(frozen=True)
class Layout:
    """``lengths`` of the sequences, rising; ``positions`` (tokens,) in each.

    ``borders``: where each sequence begins and the last one ends, int32 (n + 1,).
    """

    lengths: tuple[int, ...]
    positions: torch.Tensor
    borders: torch.Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "Layout":
        """The layout of sequences that are sorted by length."""
        positions = np.concatenate([np.arange(length) for length in lengths])
        borders = torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32, device=device)
        return cls(tuple(lengths), torch.from_numpy(positions).to(device), borders)

    @property
    def tokens(self) -> int:
        return len(self.positions)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Sequences of similar length."""
        return tuple(_groups(self.lengths))


def _groups(lengths: Sequence[int]) -> Iterator[Group]:
    first = 0
    for _, similar in groupby(lengths, key=_similar):
        group = Group.of(first, tuple(similar))
        yield group
        first = group.tokens.stop
