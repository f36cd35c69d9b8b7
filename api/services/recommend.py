"""Recommend: points like some and unlike others, by the vectors that they have. No model is needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from api.errors import InvalidRequest, NotFound
from api.services.retrieve import visible
from index.codec import searchable
from index.filters import Filter
from index.rows import Metric, Query, SearchResult, StoredPoint, Vector
from index.store import Store


@dataclass(frozen=True, slots=True)
class Examples:
    """Ids of points; ``positive`` is not empty."""

    positive: Sequence[str]
    negative: Sequence[str] = ()

    @property
    def ids(self) -> list[str]:
        """Each once, the positive ones first."""
        return list(dict.fromkeys([*self.positive, *self.negative]))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for beside the examples; the fields are those of ``index.rows.Query``, and ``acl`` are
    the tags of who asks, or None of who may see everything.
    """

    k: int
    filter: Filter | None = None
    acl: Sequence[str] | None = None
    min_score: float | None = None
    exact: bool = False
    with_vectors: bool = False


async def recommend(store: Store, examples: Examples, wanted: Wanted) -> SearchResult:
    """The best ``min(k, matches)`` points that are no examples, best first.

    Raises:
        NotFound: an example does not exist, or is not for who asks.
        InvalidRequest: the examples cancel out.
        StoreError: the collection refused the query.
    """
    ids = examples.ids
    found = await store.points(ids, with_vectors=True)
    points = {point.id: point for point in found if _is_visible(point, wanted.acl)}
    if missing := [id_ for id_ in ids if id_ not in points]:
        param = "positive" if missing[0] in examples.positive else "negative"
        raise NotFound(f"collection {store.settings.name!r} has no point {missing[0][:80]!r}", param=param)
    metric = store.settings.metric
    # Under cosine the length of an example says nothing, so it must not weigh.
    matrix = searchable(np.array([points[id_].vector for id_ in ids]), metric)
    vectors = dict(zip(ids, matrix, strict=True))
    result = await store.search(
        Query(
            # The examples may be the nearest of all; so many more leave k others.
            k=wanted.k + len(ids),
            vector=_target(examples, vectors, metric),
            mode="dense",
            filter=visible(wanted.filter, wanted.acl),
            exact=wanted.exact,
            min_score=wanted.min_score,
            with_vectors=wanted.with_vectors,
        )
    )
    others = [hit for hit in result.hits if hit.id not in points]
    return replace(result, hits=tuple(others[: wanted.k]))


def _is_visible(point: StoredPoint, acl: Sequence[str] | None) -> bool:
    return acl is None or not point.acl or not set(acl).isdisjoint(point.acl)


def _target(examples: Examples, vectors: Mapping[str, Vector], metric: Metric) -> Vector:
    """The mean of the positive ones, moved by as much as it differs from the mean of the negative ones: what
    Qdrant calls ``average_vector``.
    """
    like = np.mean([vectors[id_] for id_ in examples.positive], axis=0, dtype=np.float64)
    if examples.negative:
        unlike = np.mean([vectors[id_] for id_ in examples.negative], axis=0, dtype=np.float64)
        like = 2 * like - unlike
    target: Vector = np.asarray(like, dtype=np.float32)
    if metric == "cosine" and not target.any():
        raise InvalidRequest("the examples cancel out: no direction is left to search in", param="positive")
    return target
