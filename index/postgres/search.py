"""How a query becomes hits: rank by vector, by words or by both, fuse, choose, and join the rows.

As ``index.search`` does it, in one state of the database from the first statement to the last.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from index import selection
from index.codec import decode_json
from index.fusion import fuse
from index.lexical import Terms, inverse_frequency, plain_words, quoted
from index.postgres import dense, lexical
from index.postgres.database import Reader, Record
from index.postgres.dense import Nearest
from index.postgres.scope import Scope
from index.postgres.snapshot import Snapshot, Snapshots
from index.postgres.tables import Tables
from index.postgres.text import decode_optional, decode_text
from index.request import DEPTH, Request, checked
from index.rows import CollectionSettings, Hit, Query, SearchResult, Vector
from index.together import together

# Queries that come together are answered over so many connections.
_CONNECTIONS: Final = 4
# So many of the newest points are looked at to learn how rare a word is.
_COUNTED_POINTS: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Found:
    """Seqs in their order, each with its score and the parts of it, and the key of its document."""

    scores: dict[int, float]
    dense: Mapping[int, float]
    lexical: Mapping[int, float]
    documents: Mapping[int, int]
    plan: str

    @property
    def held(self) -> Mapping[int, float]:
        """What the least score is held against: the dense scores, or BM25 where there are none."""
        return self.dense or self.lexical


class Search:
    """Of the collection in ``tables``: by ``stale``, a reader that may be a moment behind ``fresh``."""

    def __init__(self, settings: CollectionSettings, tables: Tables, fresh: Reader, stale: Reader) -> None:
        self._settings = settings
        self._tables = tables
        self._snapshots = Snapshots(fresh, stale, tables)

    def follow(self, change: int) -> None:
        """Find from now on what this process wrote up to that moment of the collection's history."""
        self._snapshots.follow(change)

    async def search(self, query: Query) -> SearchResult:
        """The best ``min(k, matches)`` points, best first.

        Raises:
            InvalidQuery, InvalidVector: the query cannot be answered as asked.
        """
        return (await self.search_many([query]))[0]

    async def search_many(self, queries: Sequence[Query]) -> list[SearchResult]:
        """What ``search`` says to each.

        Raises:
            InvalidQuery, InvalidVector: one of them cannot be answered as asked.
        """
        requests = [checked(query, self._settings) for query in queries]
        asked = list(zip(requests, await self._encoded([one.terms for one in requests]), strict=True))
        parts = [asked[start::_CONNECTIONS] for start in range(min(_CONNECTIONS, len(asked)))]
        answers = await together(self._answers(part) for part in parts)
        return [answers[place % _CONNECTIONS][place // _CONNECTIONS] for place in range(len(asked))]

    async def _answers(self, asked: Sequence[tuple[Request, list[str]]]) -> list[SearchResult]:
        async def work(snapshot: Snapshot) -> list[SearchResult]:
            return [
                await answer(_Asked(request, terms, snapshot, self._settings, self._tables))
                for request, terms in asked
            ]

        return await self._snapshots.read(work)

    async def idf(self, words: Sequence[str]) -> dict[str, float]:
        """How rare each of ``words`` is among the newest points, as ``index.store`` says."""
        wanted = plain_words(words, self._settings.tokenizer)
        encoded = await self._encoded([Terms((quoted(word),)) for word in wanted])
        every = [query for queries in encoded for query in queries]
        if not every:
            return {}

        async def work(snapshot: Snapshot) -> tuple[int, dict[str, int]]:
            return await lexical.passages_with(snapshot, self._tables, every, _COUNTED_POINTS)

        total, counts = await self._snapshots.read(work)
        return {
            word: inverse_frequency(total, sum(counts[query] for query in queries))
            for word, queries in zip(wanted, encoded, strict=True)
        }

    async def _encoded(self, asked: Sequence[Terms]) -> list[list[str]]:
        if not any(terms.strings or terms.short for terms in asked):
            return [[] for _ in asked]
        return await asyncio.to_thread(lexical.encode_terms, asked, self._settings.tokenizer)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, its words as tsqueries, and where it is asked."""

    request: Request
    terms: Sequence[str]
    snapshot: Snapshot
    settings: CollectionSettings
    tables: Tables

    @property
    def scope(self) -> Scope:
        """The passages that may be found."""
        return Scope(self.tables, self.request.query.filter)


async def answer(asked: _Asked) -> SearchResult:
    found = await _chosen(asked)
    rows = await _joined(asked, list(found.scores))
    return SearchResult(tuple(_hit(rows[seq], found) for seq in found.scores), found.plan)


async def _chosen(asked: _Asked) -> _Found:
    """The k rows to answer; where each has to be of another document, more are ranked until there are k."""
    request, query = asked.request, asked.request.query
    depth = max(DEPTH, request.wanted) if request.is_hybrid else request.wanted
    while True:
        found, is_all = await _find(asked, depth)
        scores = found.scores
        if query.min_score is not None:
            scores = selection.reaching(scores, found.held, query.min_score)
        if query.group_by is None:
            break
        scores = selection.best_of_each(scores, found.documents)
        if len(scores) >= request.wanted or is_all:
            break
        depth *= 2
    found = replace(found, scores=dict(islice(scores.items(), request.wanted)))
    return found if query.diversity is None else await _diverse(asked, found, query.diversity)


async def _diverse(asked: _Asked, found: _Found, diversity: float) -> _Found:
    sql = f"SELECT seq, vector FROM {asked.tables.passages} WHERE seq = ANY($1)"
    vectors = dict(map(tuple, await asked.snapshot.connection.fetch(sql, list(found.scores))))
    k = asked.request.query.k
    scores = await asyncio.to_thread(selection.unlike_each_other, found.scores, vectors, k, diversity)
    return replace(found, scores=scores, plan=f"{found.plan}+mmr")


async def _find(asked: _Asked, depth: int) -> tuple[_Found, bool]:
    """What is among the first ``depth`` by vector or by words, best first, and whether going deeper would
    find nothing more that reaches the least score.
    """
    request, query = asked.request, asked.request.query
    by_words = await lexical.matching(asked.snapshot, asked.scope, asked.terms, depth) if asked.terms else []
    words = {row[0]: row[2] for row in by_words}
    filtered = "" if query.filter is None else "filtered-"
    if request.vector is None:
        documents = {row[0]: row[1] for row in by_words}
        found = _Found(words, {}, words, documents, f"{filtered}lexical")
        return found, _is_all(words, depth, query.min_score)
    near = await _nearest(asked, request.vector, depth)
    is_all = _is_all(near.scores, depth, query.min_score)
    plan = f"{filtered}{near.plan}"
    if not request.by_words:
        return _Found(near.scores, near.scores, {}, near.documents, plan), is_all
    lacking = await dense.scores_of(
        asked.snapshot, asked.scope, asked.settings, request.vector, [*(words.keys() - near.scores.keys())]
    )
    parts = near.scores | lacking.scores
    fused = fuse(parts, words, near.scores, query.fusion)
    return _Found(fused, parts, words, near.documents | lacking.documents, f"{plan}+lexical"), is_all


async def _nearest(asked: _Asked, vector: Vector, depth: int) -> Nearest:
    exact = asked.request.query.exact
    return await dense.nearest(asked.snapshot, asked.scope, asked.settings, vector, depth, exact=exact)


def _is_all(ranking: Mapping[int, float], depth: int, least: float | None) -> bool:
    """Every point has a vector, so where there is one the ranking by it decides."""
    return len(ranking) < depth or (least is not None and min(ranking.values()) < least)


async def _joined(asked: _Asked, seqs: Sequence[int]) -> dict[int, Record]:
    parts = asked.request.parts
    content = "p.text, d.metadata" if parts.content else "NULL, '{}'"
    rows = await asked.snapshot.connection.fetch(
        f"SELECT p.seq, p.id, d.id, d.title, p.start, p.stop, p.page, p.heading, {content},"
        f" {'p.vector' if parts.vectors else 'NULL'}, {'p.token_vectors' if parts.token_vectors else 'NULL'}"
        f" FROM {asked.tables.joined} WHERE p.seq = ANY($1)",
        seqs,
    )
    return {row[0]: row for row in rows}


def _hit(row: Record, found: _Found) -> Hit:
    seq, id_, document_id, title, start, end, page, heading, text, metadata, vector, token_vectors = row
    scores = {"dense": found.dense[seq]} if seq in found.dense else {}
    if seq in found.lexical:
        scores["lexical"] = found.lexical[seq]
    return Hit(
        id=id_,
        document_id=document_id,
        score=found.scores[seq],
        text=decode_optional(text),
        title=decode_text(title),
        metadata=decode_json(metadata),
        start=start,
        end=end,
        page=page,
        heading=decode_text(heading),
        scores=scores,
        vector=vector,
        token_vectors=token_vectors,
    )
