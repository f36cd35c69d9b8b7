"""A search in words or by vector becomes rows: embed the question if need be, then ask the collection."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from api.errors import InvalidRequest
from api.services.models import Models
from embedd.embedder import Embeddings, Truncated
from index.filters import Filter
from index.rows import Hit, Mode, Query
from index.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a client looks for: ``text``, ``vector`` (dim,), or both for a hybrid search with its own."""

    k: int
    mode: Mode
    text: str | None = None
    vector: npt.NDArray[np.float32] | None = None
    filter: Filter | None = None
    min_score: float | None = None
    exact: bool = False
    with_vectors: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, best first, and how; ``cut`` if the model takes less than the whole question."""

    hits: tuple[Hit, ...]
    plan: str
    cut: Truncated | None = None


class Retriever:
    """Searches collections."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def retrieve(self, store: Store, search: Search) -> Found:
        """The best ``search.k`` passages, best first.

        Raises:
            InvalidRequest: nothing to search for, or a dense search by words without a model.
            EmbeddError: the question could not be embedded.
            StoreError: the collection refused the query.
        """
        if search.text is None and search.vector is None:
            raise InvalidRequest("send `query` (words) or `vector`", param="query")
        if search.text is not None and not search.text.strip():
            raise InvalidRequest("`query` is empty", param="query")
        mode = self._mode(store, search)
        vector, cut = search.vector, None
        if vector is None and mode != "lexical":
            embedded = await self._embed(store, search.text or "")
            vector, cut = embedded.vectors[0], next(iter(embedded.truncated), None)
        result = await store.search(
            Query(
                k=search.k,
                vector=None if mode == "lexical" else vector,
                text=None if mode == "dense" else search.text,
                mode=mode,
                filter=search.filter,
                exact=search.exact,
                min_score=search.min_score,
                with_vectors=search.with_vectors,
            )
        )
        return Found(result.hits, result.plan, cut)

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
        prompt = embedder.card.prompts.get("query", "")
        return await embedder.embed([text], prompt=prompt, deadline_s=self._models.deadline_s)
