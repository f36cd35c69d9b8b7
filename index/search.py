"""How a query becomes hits: rank by vector, by words or by both, fuse, choose, and join the rows.

Memory and file are read one after the other, and writes go on between. What was found is named by seq, and
a seq names the same row for ever, so the worst that can happen is that a row is gone when it is joined, or
that its document has other metadata and does not match any more: then the search is made again.
"""

import asyncio
import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Final

import numpy as np

from index import full_text, points, selection
from index.attributes import Attributes
from index.codec import check_vector, decode_json, decode_vector, searchable_row
from index.dense import nearest
from index.errors import InvalidQuery
from index.expiry import Expiry
from index.filter_match import matches
from index.filters import Filter
from index.full_text import Among
from index.fusion import fuse
from index.graph import Graph
from index.lexical import Terms, read_terms
from index.points import Joined, Parts
from index.readers import Readers
from index.rows import CollectionSettings, Hit, Query, SearchResult, Vector
from index.vectors import Ranking, TableView, VectorTable

# How deep the rankings are that are fused.
DEPTH: Final = 100
ATTEMPTS: Final = 10
# To choose so many hits unlike each other takes 0.06 s with 384 numbers each, and 1 s with 4,096.
MOST_DIVERSE: Final = 1_000
# Rows that are held against a filter's documents in passing, in less than a millisecond.
_MATCHED_INLINE: Final = 100_000
# A word in the title, and in the text; chosen by nDCG@10 over three collections.
WORD_WEIGHTS: Final = (2.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Request:
    """A query that was checked: a vector scaled as the table is, and terms to find."""

    query: Query
    vector: Vector | None
    terms: Terms
    by_words: bool

    @property
    def is_hybrid(self) -> bool:
        return self.vector is not None and self.by_words

    @property
    def is_ranked_alone(self) -> bool:
        """Whether the nearest rows are the answer, and nothing else has a say."""
        query = self.query
        return not self.by_words and query.group_by is None and query.diversity is None

    @property
    def parts(self) -> Parts:
        """What has to be read of a hit."""
        query = self.query
        content = query.with_content or query.filter is not None
        return Parts(content, query.with_vectors, query.with_token_vectors)

    @property
    def wanted(self) -> int:
        """How many rows are ranked; twice as many as answered where there has to be a choice."""
        k = self.query.k
        return k if self.query.diversity is None else max(DEPTH, 2 * k)


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
    readers: Readers
    expiry: Expiry


async def search(query: Query, settings: CollectionSettings, sources: Sources) -> SearchResult:
    """The best ``min(k, matches)`` points, best first.

    Raises:
        InvalidQuery, InvalidVector: the query cannot be answered as asked.
    """
    request = _checked(query, settings)
    for attempt in range(ATTEMPTS):
        await sources.expiry.hide(again=attempt > 0)
        found = await _chosen(request, sources)
        joined = found.joined
        if joined is None:
            joined = await points.by_seq(sources.readers, list(found.scores), request.parts)
        candidates = [_hit(joined[seq], found) for seq in found.scores if seq in joined]
        hits = tuple(hit for hit in candidates if _still_matches(hit, query))
        if len(hits) == len(found.scores) or attempt == ATTEMPTS - 1:
            break
    return SearchResult(hits, found.plan)


def _checked(query: Query, settings: CollectionSettings) -> _Request:
    if query.k < 1:
        raise InvalidQuery(f"k is {query.k}, it must be at least 1")
    if query.diversity is not None and query.k > MOST_DIVERSE:
        raise InvalidQuery(f"k is {query.k}, with a diversity it is at most {MOST_DIVERSE}")
    for name, share in (("dense weight", query.fusion.dense_weight), ("diversity", query.diversity)):
        if share is not None and not 0 <= share <= 1:
            raise InvalidQuery(f"the {name} is {share}, it must be from 0 to 1")
    if query.min_score is not None and math.isnan(query.min_score):
        raise InvalidQuery("the least score is not a number")
    vector = query.vector if query.mode != "lexical" else None
    text = query.text if query.mode != "dense" else None
    if vector is None and text is None:
        needed = {"dense": "a vector", "lexical": "a text", "hybrid": "a vector or a text"}[query.mode]
        raise InvalidQuery(f"a {query.mode} search needs {needed}")
    if vector is not None:
        row = check_vector(vector, settings.dim, settings.metric, "query")
        vector = searchable_row(row, settings.metric)
    terms = Terms(()) if text is None else read_terms(text, settings.tokenizer)
    return _Request(query, vector, terms, text is not None)


def _still_matches(hit: Hit, query: Query) -> bool:
    return query.filter is None or matches(query.filter, hit.document_id, hit.metadata)


async def _chosen(request: _Request, sources: Sources) -> _Found:
    """The k rows to answer; where each has to be of another document, more are ranked until there are k."""
    query = request.query
    depth = max(DEPTH, request.wanted) if request.is_hybrid else request.wanted
    among = None if query.filter is None else await _matching(sources, query.filter)
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


async def _matching(sources: Sources, condition: Filter) -> TableView:
    """The rows that match, and go on to count if they are removed: so it shows when they are joined."""
    documents = await sources.attributes.matching(condition)
    view = sources.table.view()
    if view.rows <= _MATCHED_INLINE:
        return view.of_documents(documents)
    return await asyncio.to_thread(view.of_documents, documents)


async def _find(
    request: _Request, among: TableView | None, sources: Sources, depth: int
) -> tuple[_Found, bool]:
    """What is among the first ``depth`` by vector or by words, best first, and whether going deeper would
    find nothing more that reaches the least score.
    """
    query = request.query
    lexical = await _by_words(request, among, sources.readers, depth) if request.by_words else {}
    filtered = "" if among is None else "filtered-"
    if request.vector is None:
        found = _Found(lexical, {}, lexical, f"{filtered}lexical")
        return found, _is_all(lexical, depth, query.min_score)
    view = sources.table.view() if among is None else among
    graph = None if query.exact else sources.graph
    join = partial(_join, request, sources.readers)
    near = await nearest(view, graph, request.vector, depth, filtered=among is not None, join=join)
    plan = f"{filtered}{near.plan}"
    dense = _as_dict(near.ranking)
    is_all = _is_all(dense, depth, query.min_score)
    if not request.by_words:
        return _Found(dense, dense, {}, plan, near.joined), is_all
    lacking = np.array([seq for seq in lexical if seq not in dense], dtype=np.int64)
    parts = dense | _as_dict(view.scores_of(lacking, request.vector))
    known = {seq: score for seq, score in lexical.items() if seq in parts}
    return _Found(fuse(parts, known, dense, query.fusion), parts, known, f"{plan}+lexical"), is_all


def _join(request: _Request, readers: Readers, ranking: Ranking) -> dict[int, Joined] | None:
    """The rows of what was found, on the readers' thread; None if not all of them are needed, or they are
    too many for it.
    """
    if not request.is_ranked_alone or len(ranking) > points.FEW:
        return None
    return points.by_seq_now(readers, ranking.seqs.tolist(), request.parts)


async def _by_words(
    request: _Request, among: TableView | None, readers: Readers, depth: int
) -> dict[int, float]:
    trigrams = await full_text.trigrams_of(readers, request.terms.short) if request.terms.short else {}
    expression = request.terms.expression(trigrams)
    if expression is None:
        return {}
    points_among = None if among is None else Among(among.seqs(), among.rows)
    return dict(await full_text.matching(readers, expression, points_among, WORD_WEIGHTS, limit=depth))


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
