"""Which values a metadata key has among the points that match, and how many points have each.

A key means what it means in a filter: one that has a dot is looked for as it stands, and where a document has
no such key, as a path into nested objects. Of a list each element counts, and each once; an object is no
value. Values are equal as they are in filters: 1 is 1.0, and neither "1" nor true.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from index.attributes import Values, rows_matching
from index.filter_match import Comparable, Kind, comparable
from index.filters import AllOf, Filter, Scalar
from index.memory import Resident
from index.postings import Documents, Ordered, Run
from index.rows import Facets, FacetValue
from index.vectors import Keys, TableView

Points = npt.NDArray[np.int64]

_NO_KEYS: Final = np.empty(0, dtype=np.int64)
_WORDS: Final[dict[Any, Scalar]] = {"true": True, "false": False, "null": None}
# The three words are types of their own.
_TYPES: Final = {"number": "real", "text": "text"}
_EVERYTHING: Final = AllOf(())


async def count_points(memory: Resident, condition: Filter) -> int:
    """How many points match."""
    return len(await rows_matching(memory.attributes, memory.table, condition))


async def count_values(memory: Resident, key: str, limit: int, condition: Filter | None) -> Facets:
    """The ``limit`` commonest values; equal counts are in the order of their types, then of themselves."""
    values = await memory.attributes.values(condition or _EVERYTHING, key)
    # The rows of this moment, whatever is removed while they are counted.
    return await asyncio.to_thread(_facets, values, memory.table.view().frozen(), limit)


@dataclass(frozen=True, slots=True)
class _Weights:
    """How many points each of these documents (ascending) has."""

    documents: Keys
    points: Points

    def of(self, documents: Keys) -> Points:
        """How many each of ``documents`` has; none if it is not here."""
        if not len(self.documents):
            return np.zeros(len(documents), dtype=np.int64)
        places = np.minimum(np.searchsorted(self.documents, documents), len(self.documents) - 1)
        return np.where(self.documents[places] == documents, self.points[places], 0)


def _facets(values: Values, view: TableView, limit: int) -> Facets:
    rows = [block.documents[block.live] for block in view.of_documents(values.documents).blocks]
    weights = _Weights(*np.unique(np.concatenate([_NO_KEYS, *rows]), return_counts=True))
    settled = _Weights(values.settled, weights.of(values.settled))
    counts: Counter[Comparable] = Counter()
    for run in values.runs:
        for value, points in _of_run(run, settled):
            counts[value] += points
    for document, points in zip(values.recent, weights.of(_keys(values.recent)).tolist(), strict=True):
        for value in _distinct(values.recent[document]):
            counts[value] += points
    counts = +counts  # without those of documents that have no points
    first = nsmallest(limit, counts.items(), key=lambda entry: (-entry[1], *_rank(entry[0])))
    return Facets(tuple(FacetValue(_scalar(*value), points) for value, points in first), len(counts))


def _of_run(run: Run, weights: _Weights) -> Iterator[tuple[Comparable, int]]:
    """Values of the run, and how many points of the documents that are weighed have each."""
    for places in (run.scalars, run.elements):
        for kind, ordered in places.items():
            counts = _counts(ordered, run.stale, weights)
            for place in np.flatnonzero(counts).tolist():
                yield (kind, ordered.values[ordered.starts[place]]), int(counts[place])


def _counts(ordered: Ordered, stale: Documents, weights: _Weights) -> Points:
    """For each different value in order."""
    points = weights.of(ordered.documents.astype(np.int64))
    if len(stale):
        points[np.isin(ordered.documents, stale)] = 0
    # A list that has a value twice has it in places side by side.
    again = np.zeros(len(points), dtype=np.bool_)
    again[1:] = ordered.documents[1:] == ordered.documents[:-1]
    again[ordered.starts] = False
    points[again] = 0
    return np.add.reduceat(points, ordered.starts)


def _distinct(value: Any) -> set[Comparable]:
    items = value if isinstance(value, list) else [value]
    return {held for item in items if (held := comparable(item)) is not None}


def _rank(value: Comparable) -> tuple[str, str | float]:
    kind, held = value
    return _TYPES.get(kind, str(held)), held


def _scalar(kind: Kind, held: str | float) -> Scalar:
    return _WORDS[held] if kind == "word" else held


def _keys(documents: Iterable[int]) -> Keys:
    return np.array(list(documents), dtype=np.int64)
