"""The passages nearest to a vector: the HNSW index asked, or all of them compared; scored as the embedded
store scores them.

PostgreSQL finds candidates. Their vectors come here and are scored in float32 by ``index._scan``, so a score
does not depend on where a vector lies, nor on what the index kept of it.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from index import planner
from index.blocks import Block
from index.codec import searchable
from index.dense import INLINE_NUMBERS
from index.postgres.database import Record
from index.postgres.graph_shape import GraphShape, distance, graph_shape
from index.postgres.parameters import Parameters
from index.postgres.scope import Scope
from index.postgres.snapshot import Snapshot, sample_percent
from index.rows import CollectionSettings, Vector
from index.vectors import Ranking, TableView, best

# pgvector sums in another order than ``index._scan``: so many more candidates, for those that are as near as
# the last one within its rounding.
_MARGIN: Final = 10
# The most that pgvector's ef_search takes; beyond it the index goes on by itself.
_MAX_EF: Final = 1_000
_MAX_TUPLES: Final = 2**31 - 1
# About so many passages are held against a filter to learn how many of all match.
_SAMPLED: Final = 500
_BY_GRAPH: Final = (
    "SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off;"
    " SET LOCAL hnsw.iterative_scan = relaxed_order;"
    " SET LOCAL hnsw.ef_search = {ef}; SET LOCAL hnsw.max_scan_tuples = {most}"
)
_QUERY: Final = "$1::vector"
_AS_USUAL: Final = "SET LOCAL enable_sort = DEFAULT; SET LOCAL enable_seqscan = DEFAULT"


@dataclass(frozen=True, slots=True)
class Nearest:
    """What was found, best first: scores by seq, and the key of each one's document.

    The plan is "exact", "graph", or "graph-exact", if the graph was asked in vain.
    """

    scores: dict[int, float]
    documents: dict[int, int]
    plan: str


async def nearest(
    snapshot: Snapshot,
    scope: Scope,
    settings: CollectionSettings,
    query: Vector,
    k: int,
    *,
    exact: bool = False,
) -> Nearest:
    """The ``min(k, matches)`` passages in the scope nearest to ``query`` (dim,), scaled as ``codec`` says."""
    shape = graph_shape(settings)
    if shape is not None and snapshot.has_graph and shape.takes(query) and not exact:
        limits = await _limits(snapshot, scope, shape, k)
        if limits is not None:
            found = await _through_graph(snapshot, scope, shape, query, limits)
            if len(found) >= k:
                return await _scored(found, settings, query, k, "graph")
            await snapshot.connection.execute(_AS_USUAL)
            found = await _scanned(snapshot, scope, settings, query, k)
            return await _scored(found, settings, query, k, "graph-exact")
    return await _scored(await _scanned(snapshot, scope, settings, query, k), settings, query, k, "exact")


async def scores_of(
    snapshot: Snapshot, scope: Scope, settings: CollectionSettings, query: Vector, seqs: Sequence[int]
) -> Nearest:
    """The scores of passages that were found otherwise, best first."""
    sql = f"SELECT seq, document, vector FROM {scope.tables.passages} WHERE seq = ANY($1)"
    found = await snapshot.connection.fetch(sql, list(seqs)) if seqs else []
    return await _scored(found, settings, query, len(found), "exact")


@dataclass(frozen=True, slots=True)
class _Limits:
    """How widely the graph is searched, and how many vectors it may compare for it."""

    candidates: int
    ef: int
    most: int


async def _limits(snapshot: Snapshot, scope: Scope, shape: GraphShape, k: int) -> _Limits | None:
    """None where comparing all that match is the better way."""
    points = snapshot.sizes.points
    matches = points if scope.condition is None else await _expected_matches(snapshot, scope)
    candidates = planner.candidates_to_fetch(k, quantised=shape.halved)
    ef = planner.ef_of(candidates, points)
    limits = planner.limits_of(ef, matches, points, planner.scan_cost(matches, points))
    if limits is None:
        return None
    return _Limits(candidates, min(ef, _MAX_EF), min(limits.most, _MAX_TUPLES))


async def _expected_matches(snapshot: Snapshot, scope: Scope) -> int:
    """By those of a sample, the same one as long as nothing is written."""
    points = snapshot.sizes.points
    parameters = Parameters(sample_percent(_SAMPLED, points))
    row = await snapshot.connection.fetchrow(
        f"SELECT count(*), count(*) FILTER (WHERE {scope.matches(parameters)})"
        f" FROM {scope.tables.passages} AS p TABLESAMPLE SYSTEM ($1) REPEATABLE (0)",
        *parameters.values,
    )
    assert row is not None
    return int(points * row[1] / max(row[0], 1))


async def _through_graph(
    snapshot: Snapshot, scope: Scope, shape: GraphShape, query: Vector, limits: _Limits
) -> list[Record]:
    await snapshot.connection.execute(_BY_GRAPH.format(ef=limits.ef, most=limits.most))
    parameters = Parameters(query, limits.candidates)
    rows, inside = scope.rows_in_order(parameters), shape.has("p.vector")
    near = f"SELECT p.seq, p.document, p.vector FROM {rows}"
    sql = f"({near} ORDER BY {shape.distance(_QUERY)} LIMIT $2)"
    if inside is not None:
        sql = (
            f"({near} AND {inside} ORDER BY {shape.distance(_QUERY)} LIMIT $2)"
            f" UNION ALL ({near} AND NOT {inside} ORDER BY {distance(shape.metric, _QUERY)} LIMIT $2)"
        )
    return await snapshot.connection.fetch(sql, *parameters.values)


async def _scanned(
    snapshot: Snapshot, scope: Scope, settings: CollectionSettings, query: Vector, k: int
) -> list[Record]:
    parameters = Parameters(query, k + _MARGIN)
    return await snapshot.connection.fetch(
        f"SELECT p.seq, p.document, p.vector FROM {scope.rows(parameters)}"
        f" ORDER BY {distance(settings.metric, _QUERY)}, p.seq LIMIT $2",
        *parameters.values,
    )


async def _scored(
    found: Sequence[Record], settings: CollectionSettings, query: Vector, k: int, plan: str
) -> Nearest:
    rows = sorted(found, key=lambda row: row[0])
    rank = partial(_ranked, rows, settings, query, k)
    is_much = len(rows) * settings.dim > INLINE_NUMBERS
    ranking = await asyncio.to_thread(rank) if is_much else rank()
    scores = dict(zip(ranking.seqs.tolist(), ranking.scores.tolist(), strict=True))
    return Nearest(scores, {row[0]: row[1] for row in rows}, plan)


def _ranked(rows: Sequence[Record], settings: CollectionSettings, query: Vector, k: int) -> Ranking:
    """The ``k`` best of rows of (seq, document, vector), ordered by seq."""
    if not rows:
        return best([], k)
    seqs = np.array([row[0] for row in rows], dtype=np.int64)
    vectors = searchable(np.stack([row[2] for row in rows]), settings.metric)
    block = Block(vectors, seqs, seqs, np.ones(len(rows), dtype=np.bool_))
    return TableView([block], settings.metric).top(query, k)
