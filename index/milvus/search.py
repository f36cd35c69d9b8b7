"""How a query becomes hits in a collection whose rows are in Milvus: ranked there, joined here.

Milvus only names what it finds. A row counts if its point is there, has not expired and matches the filter,
all as the truth says; one of a document that is in another version by now is scored by the vector that the
truth has. Where too few count, more are asked for, until there are k or Milvus has no more. Its graph may
miss some; that shows when the rows are counted, and then the truth has to answer. Words are found by the
truth, so that they mean the same everywhere.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

import numpy as np

from index import selection
from index.codec import searchable
from index.filter_match import matcher
from index.fusion import fuse
from index.milvus.expression import expression_of
from index.milvus.server import MOST_FOUND, Milvus, Near
from index.milvus.shape import read_key
from index.request import DEPTH, Request
from index.rows import Hit, Metric, Query, SearchResult, StoredPoint, Vector
from index.store import Store

Points = dict[str, StoredPoint]
Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sources:
    """What a search looks into: the collection ``place`` of a Milvus, and the truth."""

    milvus: Milvus
    place: str
    truth: Store

    @property
    def metric(self) -> Metric:
        return self.truth.settings.metric


@dataclass(frozen=True, slots=True)
class _Found:
    """The scores of points by their ids, best first, their parts, and the points; ``is_all`` if looking
    further would find no others.
    """

    scores: Scores
    dense: Scores
    lexical: Scores
    points: Points
    is_all: bool
    plan: str


class _Missed(Exception):
    """Milvus has more rows than it found."""


async def search(request: Request, sources: Sources) -> SearchResult | None:
    """The best ``min(k, matches)`` points, best first; None if Milvus cannot tell.

    Raises:
        VectorsUnavailable: it does not answer.
    """
    try:
        found = await _chosen(request, sources)
    except _Missed:
        return None
    if request.query.diversity is not None:
        found = await _diverse(found, request.query.k, request.query.diversity)
    return SearchResult(await _hits(request.query, found, sources.truth), found.plan)


async def search_alike(requests: Sequence[Request], sources: Sources) -> list[SearchResult | None]:
    """What ``search`` says to each of plain requests that ask for as many rows and the same parts of them."""
    one = requests[0]
    vectors = np.stack([request.vector for request in requests if request.vector is not None])
    found = await sources.milvus.search(sources.place, vectors, one.wanted, expression_of(None, _now_ms()))
    points = await _join({near.key for nears in found for near in nears}, one, sources)
    answers: list[SearchResult | None] = []
    for request, nears in zip(requests, found, strict=True):
        scores = await _counting(nears, one.wanted, points, request, sources)
        if len(scores) == one.wanted:
            dense = _Found(scores, scores, {}, points, is_all=False, plan="milvus")
            answers.append(SearchResult(await _hits(request.query, dense, sources.truth), dense.plan))
        else:
            answers.append(await search(request, sources))
    return answers


async def _chosen(request: Request, sources: Sources) -> _Found:
    """The rows to answer; more are ranked until there are enough of them that count."""
    query = request.query
    depth = max(DEPTH, request.wanted) if request.is_hybrid else request.wanted
    while depth <= MOST_FOUND:
        found = await _find(request, sources, depth)
        scores = found.scores
        if query.min_score is not None:
            scores = selection.reaching(scores, found.dense, query.min_score)
        if query.group_by is not None:
            documents = {id_: point.document_id for id_, point in found.points.items()}
            scores = selection.best_of_each(scores, documents)
        if len(scores) >= request.wanted or found.is_all:
            return replace(found, scores=dict(islice(scores.items(), request.wanted)))
        depth *= 2
    raise _Missed


async def _find(request: Request, sources: Sources, depth: int) -> _Found:
    """What is among the first ``depth`` by vector or by words, best first."""
    query = request.query
    plan = "milvus" if query.filter is None else "filtered-milvus"
    if not request.by_words:
        return await _nearest(request, sources, depth, plan)
    found, words = await asyncio.gather(
        _nearest(request, sources, depth, f"{plan}+lexical"), sources.truth.search(_by_words(query, depth))
    )
    lexical = {hit.id: hit.scores["lexical"] for hit in words.hits}
    others = await sources.truth.points([id_ for id_ in lexical if id_ not in found.dense], with_vectors=True)
    # They may have changed since the words were found: who may see them, too.
    lacking = list(filter(_checker(query), others))
    points = found.points | {point.id: point for point in lacking}
    parts = found.dense | _scores(request.vector, lacking, sources.metric)
    known = {id_: score for id_, score in lexical.items() if id_ in parts}
    fused = fuse(parts, known, found.dense, query.fusion)
    return replace(found, scores=fused, dense=parts, lexical=known, points=points)


def _by_words(query: Query, depth: int) -> Query:
    return Query(depth, text=query.text, mode="lexical", filter=query.filter, with_content=False)


async def _nearest(request: Request, sources: Sources, depth: int, plan: str) -> _Found:
    assert request.vector is not None, "words alone are the truth's to find"
    expression = expression_of(request.query.filter, _now_ms())
    [nears] = await sources.milvus.search(sources.place, request.vector[np.newaxis], depth, expression)
    if len(nears) < depth and await sources.milvus.count(sources.place, expression) > len(nears):
        raise _Missed
    points = await _join((near.key for near in nears), request, sources)
    scores = await _counting(nears, depth, points, request, sources)
    least = request.query.min_score
    is_all = len(nears) < depth or (least is not None and min(scores.values(), default=least) < least)
    return _Found(scores, scores, {}, points, is_all, plan)


async def _join(keys: Iterable[str], request: Request, sources: Sources) -> Points:
    """The points of these rows that are there, by their ids."""
    query = request.query
    with_vectors = query.with_vectors or query.diversity is not None or sources.metric == "l2"
    ids = list(dict.fromkeys(read_key(key)[0] for key in keys))
    return {point.id: point for point in await sources.truth.points(ids, with_vectors=with_vectors)}


async def _counting(
    nears: Sequence[Near], depth: int, points: Points, request: Request, sources: Sources
) -> Scores:
    """The scores of the rows that count, best first, of up to ``depth`` that were asked for."""
    scores: Scores = {}
    changed: set[str] = set()
    is_match = _checker(request.query)
    for near in nears:
        id_, version = read_key(near.key)
        point = points.get(id_)
        if point is None or not is_match(point):
            continue
        if point.version == version:
            scores.setdefault(id_, near.score)
        else:
            changed.add(id_)
    if sources.metric == "l2":  # Milvus gives the square of the distance, Milvus Lite the distance
        scores = _scores(request.vector, [points[id_] for id_ in scores], sources.metric)
    if changed := changed - scores.keys():
        now = await sources.truth.points(list(changed), with_vectors=True)
        # Behind the last of the others there may be rows that are nearer.
        least = -np.inf if len(nears) < depth else min(scores.values(), default=np.inf)
        moved = _scores(request.vector, now, sources.metric)
        scores |= {id_: score for id_, score in moved.items() if score >= least}
        scores = dict(sorted(scores.items(), key=lambda entry: -entry[1]))
    return scores


def _checker(query: Query) -> Callable[[StoredPoint], bool]:
    """What says of a point whether it matches as it is now."""
    if query.filter is None:
        return lambda _point: True
    is_match = matcher(query.filter)
    return lambda point: is_match(point.document_id, point.metadata, point.acl)


def _scores(vector: Vector | None, points: Sequence[StoredPoint], metric: Metric) -> Scores:
    """How near points that have their vectors are, best first."""
    if vector is None or not points:
        return {}
    rows = searchable(np.stack([point.vector for point in points if point.vector is not None]), metric)
    nearness = -np.linalg.norm(rows - vector, axis=1) if metric == "l2" else np.vecdot(rows, vector)
    scores = zip((point.id for point in points), nearness.tolist(), strict=True)
    return dict(sorted(scores, key=lambda entry: -entry[1]))


async def _diverse(found: _Found, k: int, diversity: float) -> _Found:
    points = [point for id_ in found.scores if (point := found.points[id_]).vector is not None]
    vectors = {point.id: point.vector for point in points if point.vector is not None}
    scores = await asyncio.to_thread(selection.unlike_each_other, found.scores, vectors, k, diversity)
    return replace(found, scores=scores, plan=f"{found.plan}+mmr")


async def _hits(query: Query, found: _Found, truth: Store) -> tuple[Hit, ...]:
    packed: Mapping[str, bytes | None] = {}
    if query.with_token_vectors:
        points = await truth.points(list(found.scores), with_token_vectors=True)
        packed = {point.id: point.token_vectors for point in filter(_checker(query), points)}
    return tuple(_hit(id_, found, query, packed.get(id_)) for id_ in found.scores)


def _hit(id_: str, found: _Found, query: Query, token_vectors: bytes | None) -> Hit:
    point = found.points[id_]
    scores = {"dense": found.dense[id_]} | ({"lexical": found.lexical[id_]} if id_ in found.lexical else {})
    return Hit(
        id=id_,
        document_id=point.document_id,
        score=found.scores[id_],
        text=point.text,
        title=point.title,
        metadata=point.metadata,
        start=point.start,
        end=point.end,
        page=point.page,
        heading=point.heading,
        scores=scores,
        vector=point.vector if query.with_vectors else None,
        token_vectors=token_vectors,
    )


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
