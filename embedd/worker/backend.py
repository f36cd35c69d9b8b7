"""What a worker runs: token ids in, vectors out. One implementation with torch, one without."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Backend(Protocol):
    """A model inside the worker; used by one thread."""

    def load(self) -> Mapping[str, Any]:
        """Makes it ready and says what it is: ``dim``, ``device``, ``versions``.

        Raises:
            ModelLoadError: the files are missing, damaged, or hold no embedding model.
        """

    def embed(self, ids: Sequence[npt.NDArray[np.int32]]) -> tuple[npt.NDArray[np.float32], list[int]]:
        """The vectors (n, dim) of n token sequences, and the rows that are not finite."""
