"""How a collection's HNSW index keeps vectors, in SQL.

pgvector's index takes vectors of up to 2,000 numbers as they are, and up to 4,000 in half precision. Larger
ones have none and are scanned. Numbers of half precision end at 65,504: under cosine the index has vectors of
length 1, otherwise those that are longer stay outside of it and are scanned beside.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from index.postgres.tables import Tables
from index.rows import CollectionSettings, Metric, Vector

MAX_WHOLE: Final = 2_000
MAX_HALVED: Final = 4_000
_MAX_HALF: Final = 65_504
_OPERATORS: Final[dict[Metric, str]] = {"cosine": "<#>", "dot": "<#>", "l2": "<->"}
_CLASSES: Final[dict[Metric, str]] = {"cosine": "ip", "dot": "ip", "l2": "l2"}


def distance(metric: Metric, query: str) -> str:
    """How far a passage ``p`` is from the placeholder ``query``, a vector that is scaled as ``codec`` scales
    it; no index is used for it.
    """
    return f"({_scaled('p.vector', metric)} {_OPERATORS[metric]} {query}) + 0"


def graph_name(tables: Tables) -> str:
    """The name of the HNSW index."""
    return f"{tables.passages}_graph"


def has_graph(name: str) -> str:
    """Whether the index whose name is in the placeholder ``name`` is there, and whole."""
    return f"EXISTS (SELECT 1 FROM pg_index WHERE indexrelid = to_regclass({name}) AND indisvalid)"  # noqa: S608


@dataclass(frozen=True, slots=True)
class GraphShape:
    """Of a collection's vectors: ``halved`` or whole."""

    dim: int
    metric: Metric
    halved: bool

    @property
    def indexed(self) -> str:
        """What is indexed, and by which operators."""
        return f"({self._kept('vector')}) {self._kind}_{_CLASSES[self.metric]}_ops"

    def distance(self, query: str) -> str:
        """As ``distance``, of which the index knows the order."""
        return f"{self._kept('p.vector')} {_OPERATORS[self.metric]} {query}::{self._kind}({self.dim})"

    def takes(self, query: Vector) -> bool:
        """Whether it can be asked for what is nearest to ``query`` (dim,)."""
        return not self.halved or float(np.abs(query).max()) <= _MAX_HALF

    def has(self, vector: str) -> str | None:
        """What holds for a vector that is in the index; None if all are."""
        if self.halved and self.metric != "cosine":
            return f"vector_norm({vector}) <= {_MAX_HALF}"
        return None

    @property
    def _kind(self) -> str:
        return "halfvec" if self.halved else "vector"

    def _kept(self, vector: str) -> str:
        return f"({_scaled(vector, self.metric)}::{self._kind}({self.dim}))"


def graph_shape(settings: CollectionSettings) -> GraphShape | None:
    """Of a collection of these settings; None if it can have no graph."""
    if settings.dim > MAX_HALVED:
        return None
    halved = settings.quantization == "int8" or settings.dim > MAX_WHOLE
    return GraphShape(settings.dim, settings.metric, halved)


def _scaled(vector: str, metric: Metric) -> str:
    """Of length 1 under cosine, as the embedded store scales what it searches."""
    return f"l2_normalize({vector})" if metric == "cosine" else vector
