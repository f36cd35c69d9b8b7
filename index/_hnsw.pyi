# hnsw.cpp, compiled on installation. Arrays are contiguous; nothing holds Python's lock while it works.

from pathlib import Path

import numpy as np
import numpy.typing as npt

class Graph:
    def __new__(cls, dim: int, is_l2: bool, quantised: bool, m: int, ef_construction: int, /) -> Graph: ...  # noqa: PYI034
    @property
    def count(self) -> int: ...
    @property
    def deleted(self) -> int: ...
    def add(
        self, vectors: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], threads: int, /
    ) -> None: ...
    def forget(self, labels: npt.NDArray[np.int64], /) -> int: ...
    def search(
        self,
        queries: npt.NDArray[np.float32],
        ef: int,
        among: npt.NDArray[np.int64] | None,
        most: int,
        least: float,
        labels: npt.NDArray[np.int64],
        found: npt.NDArray[np.int64],
        /,
    ) -> None: ...
    def labels(self, out: npt.NDArray[np.int64], /) -> None: ...
    def save(self, path: Path, /) -> None: ...
    def load(self, path: Path, /) -> None: ...
