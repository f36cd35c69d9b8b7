"""How a query becomes hits: rank by vector, by words or by both, fuse, choose, and join the rows.

Memory and file are read one after the other, and writes go on between. What was found is named by seq, and
a seq names the same row for ever, so the worst that can happen is that a row is gone when it is joined, or
that its document has other metadata and does not match any more: then the search is made again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final

import numpy as np

from index import full_text, points, selection
from index.attributes import Attributes, rows_matching
from index.codec import decode_json, decode_vector
from index.dense import nearest
from index.expiry import Expiry
from index.filter_match import matcher
from index.fusion import fuse
from index.graph import Graph
from index.points import Joined
from index.readers import Readers
from index.request import DEPTH, Request, alike, checked
from index.rows import CollectionSettings, Hit, Query, SearchResult
from index.together import together
from index.vectors import Ranking, TableView, VectorTable
from index.word_scores import WordScores

ATTEMPTS: Final = 10
# Queries that the graph is asked at once, so that others get their turn in between.
_MOST_ALIKE: Final = 16


@dataclass(frozen=True, slots=True)
class _Found:
    """Seqs in their order, each with its score and the parts of it; and their rows, if those were read on the
    way.
    """

    scores: dict[int, float]
    dense: dict[int, float]
    lexical: dict[int, float]
    plan: str
    joined: dict[int, Joined] | None = None

    @property
    def held(self) -> dict[int, float]:
        """What the least score is held against: the dense scores, or BM25 where there are none."""
        return self.dense or self.lexical


@dataclass(frozen=True, slots=True)
class Sources:
    """What a search looks into."""

    table: VectorTable
    graph: Graph | None
    attributes: Attributes
    words: WordScores
    readers: Readers
    expiry: Expiry


async def search(query: Query, settings: CollectionSettings, sources: Sources) -> SearchResult:
    """The best ``min(k, matches)`` points, best first.

    Raises:
        InvalidQuery, InvalidVector: the query cannot be answered as asked.
    """
    return await _answer(checked(query, settings), sources)


async def search_many(
    queries: Sequence[Query], settings: CollectionSettings, sources: Sources
) -> list[SearchResult]:
    """What ``search`` says to each. Those that ask alike for what is nearest go through the graph together.

    Raises:
        InvalidQuery, InvalidVector: one of them cannot be answered as asked.
    """
    requests = [checked(query, settings) for query in queries]
    await sources.expiry.hide()
    parts = await together(_answer_alike(group, sources) for group in alike(requests, _most_alike))
    answers = {place: result for part in parts for place, result in part}
    return [answers[place] for place in range(len(requests))]


def _most_alike(request: Request) -> int:
    """How many such requests the graph is asked for at once."""
    return max(1, min(_MOST_ALIKE, points.FEW // request.wanted))


async def _answer_alike(
    group: Sequence[tuple[int, Request]], sources: Sources
) -> list[tuple[int, SearchResult]]:
    found: Sequence[_Found | None] = [None]
    if len(group) > 1:
        found = await _find_alike([request for _, request in group], sources)
    return [
        (place, await _answer(request, sources, one))
        for (place, request), one in zip(group, found, strict=True)
    ]


async def _answer(request: Request, sources: Sources, found: _Found | None = None) -> SearchResult:
    """The hits to what was ``found``, or is now; found anew where rows have changed meanwhile."""
    still_matches = _checker(request.query)
    for attempt in range(ATTEMPTS):
        await sources.expiry.hide(again=attempt > 0)
        if found is None or attempt:
            found = await _chosen(request, sources)
        joined = found.joined
        if joined is None:
            joined = await points.by_seq(sources.readers, list(found.scores), request.parts)
        candidates = [(_hit(joined[seq], found), joined[seq].acl) for seq in found.scores if seq in joined]
        hits = tuple(hit for hit, acl in candidates if still_matches(hit, acl))
        if len(hits) == len(found.scores):
            break
    assert found is not None
    return SearchResult(hits, found.plan)


def _checker(query: Query) -> Callable[[Hit, str], bool]:
    """What says of a hit, whose tags are JSON, whether it matches as it was joined."""
    if query.filter is None:
        return lambda _hit, _acl: True
    matching = matcher(query.filter)
    return lambda hit, acl: matching(hit.document_id, hit.metadata, decode_json(acl))


async def _chosen(request: Request, sources: Sources) -> _Found:
    """The k rows to answer; where each has to be of another document, more are ranked until there are k."""
    query = request.query
    depth = max(DEPTH, request.wanted) if request.is_hybrid else request.wanted
    among = None
    if query.filter is not None:
        among = await rows_matching(sources.attributes, sources.table, query.filter)
    while True:
        found, is_all = await _find(request, among, sources, depth)
        scores = found.scores
        if query.min_score is not None:
            scores = selection.reaching(scores, found.held, query.min_score)
        if query.group_by is None:
            break
        scores = selection.best_of_each(scores, await points.documents_of(sources.readers, list(scores)))
        if len(scores) >= request.wanted or is_all:
            break
        depth *= 2
    if scores is not found.scores or len(scores) > request.wanted:
        found = replace(found, scores=dict(islice(scores.items(), request.wanted)))
    return (
        found if query.diversity is None else await _diverse(found, query.k, query.diversity, sources.readers)
    )


async def _diverse(found: _Found, k: int, diversity: float, readers: Readers) -> _Found:
    vectors = await points.vectors_of(readers, list(found.scores))
    scores = await asyncio.to_thread(selection.unlike_each_other, found.scores, vectors, k, diversity)
    return replace(found, scores=scores, plan=f"{found.plan}+mmr")


async def _find(
    request: Request, among: TableView | None, sources: Sources, depth: int
) -> tuple[_Found, bool]:
    """What is among the first ``depth`` by vector or by words, best first, and whether going deeper would
    find nothing more that reaches the least score.
    """
    query = request.query
    lexical = await _by_words(request, among, sources, depth) if request.by_words else {}
    filtered = "" if among is None else "filtered-"
    if request.vector is None:
        found = _Found(lexical, {}, lexical, f"{filtered}lexical")
        return found, _is_all(lexical, depth, query.min_score)
    view = sources.table.view() if among is None else among
    graph = None if query.exact else sources.graph
    join = partial(_join, request, sources.readers)
    vector = request.vector[np.newaxis]
    [near] = await nearest(view, graph, vector, depth, filtered=among is not None, join=join)
    plan = f"{filtered}{near.plan}"
    dense = _as_dict(near.ranking)
    is_all = _is_all(dense, depth, query.min_score)
    if not request.by_words:
        return _by_vector(dense, plan, near.joined), is_all
    lacking = np.array([seq for seq in lexical if seq not in dense], dtype=np.int64)
    parts = dense | _as_dict(view.scores_of(lacking, request.vector))
    known = {seq: score for seq, score in lexical.items() if seq in parts}
    return _Found(fuse(parts, known, dense, query.fusion), parts, known, f"{plan}+lexical"), is_all


async def _find_alike(requests: Sequence[Request], sources: Sources) -> list[_Found]:
    """What is nearest to each of plain requests that ask for as many rows and the same parts of them."""
    one = requests[0]
    queries = np.stack([request.vector for request in requests if request.vector is not None])
    join = partial(_join, one, sources.readers)
    found = await nearest(sources.table.view(), sources.graph, queries, one.wanted, join=join)
    return [_by_vector(_as_dict(near.ranking), near.plan, near.joined) for near in found]


def _by_vector(dense: dict[int, float], plan: str, joined: dict[int, Joined] | None) -> _Found:
    return _Found(dense, dense, {}, plan, joined)


def _join(request: Request, readers: Readers, rankings: Sequence[Ranking]) -> dict[int, Joined] | None:
    """The rows of what was found, on the readers' thread; None if not all of them are needed, or they are
    too many for it.
    """
    seqs = [seq for ranking in rankings for seq in ranking.seqs.tolist()]
    if not request.is_ranked_alone or len(seqs) > points.FEW:
        return None
    return points.by_seq_now(readers, seqs, request.parts)


async def _by_words(
    request: Request, among: TableView | None, sources: Sources, depth: int
) -> dict[int, float]:
    trigrams = (
        await full_text.trigrams_of(sources.readers, request.terms.short) if request.terms.short else {}
    )
    phrases = request.terms.phrases(trigrams)
    return await sources.words.best(phrases, among, depth) if phrases else {}


def _is_all(ranking: dict[int, float], depth: int, least: float | None) -> bool:
    """Every point has a vector, so where there is one the ranking by it decides."""
    return len(ranking) < depth or (least is not None and min(ranking.values()) < least)


def _as_dict(ranking: Ranking) -> dict[int, float]:
    return dict(zip(ranking.seqs.tolist(), ranking.scores.tolist(), strict=True))


def _hit(point: Joined, found: _Found) -> Hit:
    seq = point.seq
    scores = {"dense": found.dense[seq]} if seq in found.dense else {}
    if seq in found.lexical:
        scores["lexical"] = found.lexical[seq]
    return Hit(
        id=point.id,
        document_id=point.document_id,
        score=found.scores[seq],
        text=point.text,
        title=point.title,
        metadata=decode_json(point.metadata),
        start=point.start,
        end=point.end,
        page=point.page,
        heading=point.heading,
        scores=scores,
        vector=None if point.vector is None else decode_vector(point.vector),
        token_vectors=point.token_vectors,
    )
