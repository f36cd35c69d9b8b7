"""A search in words or by vector becomes rows: embed the question if need be, ask the collection, and bring
what it found into a better order if that is wanted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from api.errors import InvalidRequest, located
from api.services.models import Models
from api.services.passage_vectors import query_prompt
from api.services.rerank_hits import LATE, MOST_CANDIDATES, HitReranker, best, candidates
from api.tracing import part
from embedd import late
from embedd.embedder import Embedder, Embeddings, Truncated
from index.codec import check_vector
from index.filters import AllOf, Filter, visible_to
from index.late import Scores, weigh
from index.rows import DEFAULT_FUSION, Fusion, Grouping, Hit, Mode, Query, SearchResult
from index.store import Store
from index.together import together

_COLLECTION = "db.collection.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a client looks for: ``text``, ``vector`` (dim,), or both for a hybrid search with its own.

    ``acl`` are the tags of who asks, and None of who may see everything.

    ``rerank`` is "late" for late interaction, or the name of a reranking model; ``min_score`` is then held
    against its score.
    """

    k: int
    mode: Mode
    text: str | None = None
    vector: npt.NDArray[np.float32] | None = None
    filter: Filter | None = None
    acl: Sequence[str] | None = None
    min_score: float | None = None
    exact: bool = False
    with_content: bool = True
    with_vectors: bool = False
    rerank: str | None = None
    fusion: Fusion = DEFAULT_FUSION
    group_by: Grouping | None = None
    diversity: float | None = None

    @property
    def condition(self) -> Filter | None:
        """What is found has to match this: the filter, and to be visible to who asks."""
        return visible(self.filter, self.acl)

    @property
    def candidates(self) -> int:
        """How many passages are looked at for the ``k`` best."""
        return self.k if self.rerank is None else candidates(self.k)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first, and how; ``cut`` if the model takes less than the whole question."""

    hits: tuple[Hit, ...]
    plan: str
    cut: Truncated | None = None


@dataclass(frozen=True, slots=True)
class Grounds:
    """What an answer may rest on: hits that have a text, best first, and what their tokens are compared with.

    ``embedder`` read the question as ``asked``, whose tokens have the ``weights`` (t,); there is none where
    nothing embeds.
    """

    hits: tuple[Hit, ...]
    embedder: Embedder | None = None
    asked: late.LateQuery | None = None
    weights: Scores = field(default_factory=lambda: np.zeros(0, dtype=np.float32))


class Retriever:
    """Searches collections."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._reranker = HitReranker(models)

    async def retrieve(self, store: Store, search: Search) -> Found:
        """The best ``search.k`` passages, best first.

        Raises:
            InvalidRequest: nothing to search for, a dense search by words without a model, or nothing that
                could be reranked.
            UnknownModel: there is no such reranking model.
            EmbeddError: the question could not be embedded, or what was found not be reranked.
            StoreError: the collection refused the query.
        """
        return await self._retrieve(store, search, self._check(store, search))

    async def retrieve_many(self, store: Store, searches: Sequence[Search]) -> list[Found]:
        """What ``retrieve`` finds for each, in their order. All are checked before the first one runs.

        Raises:
            InvalidRequest, UnknownModel, EmbeddError, StoreError: as ``retrieve`` does, for any of them;
                values that cannot be used are told with the place of their search, as ``searches.3``.
        """
        asked = [
            (search, self._check_one_of_many(store, search, place)) for place, search in enumerate(searches)
        ]
        reranked = [one for one in asked if one[0].rerank is not None]
        plain = [one for one in asked if one[0].rerank is None]
        judging = together(self._retrieve(store, search, mode) for search, mode in reranked)
        found, judged = map(iter, await together([self._search_many(store, plain), judging]))
        return [next(found if search.rerank is None else judged) for search in searches]

    async def ground(self, store: Store, search: Search) -> Grounds:
        """As ``retrieve`` in words, with all that is needed to compare the passages with the question.

        Raises:
            InvalidRequest, UnknownModel, EmbeddError, StoreError: as ``retrieve`` does.
        """
        mode = self._check(store, search)
        embedder = self._reader(store)
        if embedder is None:
            found = await self._retrieve(store, search, mode)
            return Grounds(tuple(hit for hit in found.hits if hit.text))
        asked, weights = await self._ask(store, embedder, search)
        if store.settings.model is None:
            hits = (await self._retrieve(store, search, mode)).hits
        else:
            hits, _ = await self._judged(store, search, mode, asked, weights)
        return Grounds(tuple(hit for hit in hits if hit.text), embedder, asked, weights)

    def _reader(self, store: Store) -> Embedder | None:
        """The collection's model, or else the default one, if there is any; None also where it gives no
        vectors of tokens to compare.
        """
        if store.settings.model is not None:
            reader = self._models.embedder_of(store.settings)
        elif self._models.default is not None:
            reader = self._models.embedder()
        else:
            return None
        return reader if reader.card.gives_tokens else None

    async def _judged(
        self, store: Store, search: Search, mode: Mode, asked: late.LateQuery, weights: Scores
    ) -> tuple[tuple[Hit, ...], str]:
        """The hits with their token vectors, in the order of the reranker if there is one, and the plan."""
        query = _query(search, mode, asked.vector if search.vector is None else search.vector)
        result = await _look(store, replace(query, with_token_vectors=True))
        if search.rerank is None:
            return result.hits, result.plan
        if search.rerank == LATE:
            embedder = self._models.embedder_of(store.settings)
            judged = await self._reranker.by_late_interaction(embedder, asked, weights, result.hits)
        else:
            judged = await self._reranker.by_model(search.rerank, search.text or "", result.hits)
        return best(judged, search.k, search.min_score), result.plan

    async def _ask(self, store: Store, embedder: Embedder, search: Search) -> tuple[late.LateQuery, Scores]:
        """The question's tokens, and how rare the words are that they are of."""
        asked = await late.query(
            embedder,
            search.text or "",
            prompt=query_prompt(embedder),
            deadline_s=self._models.deadline_s,
        )
        idf = await store.idf([word for word in asked.words if word is not None])
        return asked, weigh(asked.words, idf)

    def _check(self, store: Store, search: Search) -> Mode:
        """The mode in which it can be carried out."""
        if search.text is None and search.vector is None:
            raise InvalidRequest("send `query` (words) or `vector`", param="query")
        if search.text is not None and not search.text.strip():
            raise InvalidRequest("`query` is empty", param="query")
        if search.min_score is not None and math.isnan(search.min_score):  # msgpack can bring that
            raise InvalidRequest("`min_score` is not a number", param="min_score")
        mode = self._mode(store, search)
        if search.rerank is not None:
            _refuse_to_rerank(search)
        return mode

    def _check_one_of_many(self, store: Store, search: Search, place: int) -> Mode:
        """As ``_check``, and the vector too, which the collection would not say the place of."""
        with located(f"searches.{place}"):
            if search.vector is not None:
                check_vector(search.vector, store.settings.dim, store.settings.metric, "query")
            return self._check(store, search)

    async def _retrieve(self, store: Store, search: Search, mode: Mode) -> Found:
        if search.rerank == LATE:
            return await self._with_late_interaction(store, search, mode)
        if search.rerank is not None:
            return await self._with_model(store, search, mode, search.rerank)
        return await self._search(store, search, mode)

    async def _search(self, store: Store, search: Search, mode: Mode) -> Found:
        query, cut = await self._query(store, search, mode)
        result = await _look(store, query)
        return Found(result.hits, result.plan, cut)

    async def _search_many(self, store: Store, asked: Sequence[tuple[Search, Mode]]) -> list[Found]:
        questions = await together(self._query(store, search, mode) for search, mode in asked)
        with part("index.search", {_COLLECTION: store.settings.name, "embedd.searches": len(questions)}):
            results = await store.search_many([query for query, _ in questions])
        return [
            Found(result.hits, result.plan, cut) for result, (_, cut) in zip(results, questions, strict=True)
        ]

    async def _query(self, store: Store, search: Search, mode: Mode) -> tuple[Query, Truncated | None]:
        """What the collection is asked, and what of the question its model left out."""
        vector, cut = search.vector, None
        if vector is None and mode != "lexical":
            embedded = await self._embed(store, search.text or "")
            vector, cut = embedded.vectors[0], next(iter(embedded.truncated), None)
        return _query(search, mode, vector), cut

    async def _with_late_interaction(self, store: Store, search: Search, mode: Mode) -> Found:
        if store.settings.model is None:
            raise InvalidRequest(
                f"collection {store.settings.name!r} has no embedding model that could compare tokens",
                param="rerank",
            )
        asked, weights = await self._ask(store, self._models.embedder_of(store.settings), search)
        hits, plan = await self._judged(store, search, mode, asked, weights)
        return Found(hits, f"{plan}+{LATE}", next(iter(asked.embedded.truncated), None))

    async def _with_model(self, store: Store, search: Search, mode: Mode, name: str) -> Found:
        self._models.reranker(name)  # is there, before anything is searched for it
        found = await self._search(store, search, mode)
        judged = await self._reranker.by_model(name, search.text or "", found.hits)
        hits = best(judged, search.k, search.min_score)
        return Found(hits, f"{found.plan}+{name}", found.cut)

    def _mode(self, store: Store, search: Search) -> Mode:
        """Hybrid falls back to the half that the request and the collection can serve."""
        if search.text is None:
            if search.mode == "lexical":
                raise InvalidRequest("a lexical search needs `query`", param="query")
            return "dense"
        if store.settings.model is None and search.vector is None:
            if search.mode == "dense":
                raise InvalidRequest(
                    f"collection {store.settings.name!r} has no embedding model: send `vector`, "
                    "or search with mode 'lexical'",
                    param="vector",
                )
            return "lexical"
        return search.mode

    async def _embed(self, store: Store, text: str) -> Embeddings:
        embedder = self._models.embedder_of(store.settings)
        prompt = query_prompt(embedder)
        return await embedder.embed([text], prompt=prompt, deadline_s=self._models.deadline_s)


async def _look(store: Store, query: Query) -> SearchResult:
    with part("index.search", {_COLLECTION: store.settings.name, "embedd.mode": query.mode}) as told:
        result = await store.search(query)
        told["embedd.plan"], told["embedd.hits"] = result.plan, len(result.hits)
        return result


def visible(condition: Filter | None, acl: Sequence[str] | None) -> Filter | None:
    """``condition``, and that the holder of the tags ``acl`` may see it; None of these is everything."""
    if acl is None:
        return condition
    return visible_to(acl) if condition is None else AllOf((visible_to(acl), condition))


def _refuse_to_rerank(search: Search) -> None:
    if search.text is None:
        raise InvalidRequest("`rerank` reads `query`: send it beside `vector`", param="query")
    if search.diversity is not None:
        raise InvalidRequest("`rerank` orders the hits anew: leave out `mmr`", param="mmr")
    if search.k > MOST_CANDIDATES:
        raise InvalidRequest(
            f"k is {search.k}, with `rerank` it is at most {MOST_CANDIDATES}: ask for fewer, or leave it out",
            param="k",
        )


def _query(search: Search, mode: Mode, vector: npt.NDArray[np.float32] | None) -> Query:
    """What the collection is asked; a reranker wants more hits, and has a least score of its own."""
    return Query(
        k=search.candidates,
        vector=None if mode == "lexical" else vector,
        text=None if mode == "dense" else search.text,
        mode=mode,
        filter=search.condition,
        exact=search.exact,
        min_score=search.min_score if search.rerank is None else None,
        with_content=search.with_content or search.rerank is not None,
        with_vectors=search.with_vectors,
        fusion=search.fusion,
        group_by=search.group_by,
        diversity=search.diversity,
    )
