"""The body of a search: what is looked for, and in which shape the hits are wanted."""

from typing import Annotated, Literal

from msgspec import Meta

from api.schemas import Filter, Include, K, Mode, Request, Rerank, Vector, Viewer

Share = Annotated[float, Meta(ge=0, le=1)]


class FusionRequest(Request):
    """How a hybrid search weighs vectors and words: ``dense_weight`` is the share of the vectors."""

    method: Literal["relative", "rrf"] = "relative"
    dense_weight: Share = 0.5


class MmrRequest(Request):
    """Maximal marginal relevance: only the score counts at a ``diversity`` of 0, only the difference at 1."""

    diversity: Share = 0.5


class SearchRequest(Request):
    """``query`` (words), ``vector``, or both; a hybrid search by vector alone is a dense one."""

    query: str | None = None
    vector: Vector | None = None
    k: K = 10
    filter: Filter | None = None
    acl: Viewer | None = None
    mode: Mode = "hybrid"
    fusion: FusionRequest | None = None
    min_score: float | None = None
    group_by: Literal["document"] | None = None
    mmr: MmrRequest | None = None
    include: tuple[Include, ...] = ("text", "metadata")
    exact: bool = False
    rerank: Rerank | None = None


class SearchBatchRequest(Request):
    searches: Annotated[list[SearchRequest], Meta(min_length=1, max_length=1_000)]
