"""The vectors of single tokens, which late interaction compares one by one.

Knows no model and no text. Invariant: only directions count, so a quantised vector keeps no scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

TokenDtype = Literal["float32", "int8"]


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """``values`` (all tokens, token_dim), float32 or int8; text i has the rows ``offsets[i]:offsets[i + 1]``.

    ``offsets`` is int32 (n + 1,).
    """

    values: npt.NDArray[Any]
    offsets: npt.NDArray[np.int32]

    @classmethod
    def of(cls, parts: Sequence[npt.NDArray[Any]]) -> "TokenVectors":
        """One text's vectors (t, token_dim) behind the other; at least one text."""
        return cls(np.concatenate(parts), _offsets([len(part) for part in parts]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, text: int) -> npt.NDArray[Any]:
        """The vectors (t, token_dim) of one text."""
        return self.values[self.offsets[text] : self.offsets[text + 1]]

    def without(self, head: int, tail: int) -> "TokenVectors":
        """Without so many tokens at the beginning and at the end of every text."""
        return TokenVectors.of(
            [self[text][head : max(head, len(self[text]) - tail)] for text in range(len(self))]
        )


def normalise(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rows (n, dim) at length one; one of zeros stays as it is."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit


def quantise_tokens(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """Each vector of ``vectors`` (t, d) scaled so that its largest number is 127, and rounded."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = vectors * (127.0 / np.maximum(largest, np.finfo(np.float32).tiny))
    codes: npt.NDArray[np.int8] = np.rint(scaled, out=scaled).astype(np.int8)
    return codes


def _offsets(lengths: Sequence[int]) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
