"""What a worker runs: token ids in; vectors or scores, and token vectors if asked for, out.

One implementation with torch, one without. A model is used by one thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from embedd.token_vectors import TokenDtype


@dataclass(frozen=True, slots=True)
class Batch:
    """``ids``: n token sequences. ``seconds`` (n,): where the second segment of a pair begins, -1 for none.

    ``token_rows``: the sequences whose token vectors are wanted too, as ``token_dtype``.
    """

    ids: Sequence[npt.NDArray[np.int32]]
    seconds: npt.NDArray[np.int32]
    token_rows: Sequence[int] = ()
    token_dtype: TokenDtype = "float32"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True)
class Output:
    """``rows`` (n, dim): vectors, or a reranker's raw scores; ``bad``: the rows that are not finite.

    ``tokens``: for each of the batch's ``token_rows`` an array (its tokens, token_dim), specials included.
    """

    rows: npt.NDArray[np.float32]
    bad: Sequence[int] = ()
    tokens: Sequence[npt.NDArray[Any]] = field(default_factory=tuple)


class OutOfMemory(Exception):
    """A single sequence does not fit into the memory of the device."""


class Backend(Protocol):
    """A model inside the worker; used by one thread."""

    def load(self) -> Mapping[str, Any]:
        """Makes it ready and says what it is: ``dim``, ``token_dim``, ``device``, ``dtype``, ``versions``,
        and ``forward``: ``packed`` without padding, or ``padded``.

        Raises:
            ModelLoadError: the files are missing, damaged, or hold no such model.
        """

    def run(self, batch: Batch) -> Output:
        """Raises ``OutOfMemory`` if even a single sequence of the batch does not fit."""
