"""Search by words, by vector, or by both."""

import time
from collections.abc import Sequence

from msgspec import UNSET

from api.errors import InvalidRequest, located
from api.http.index_requests import read_search
from api.http.routing import Call
from api.http.stages import describe_cut_query
from api.schemas import (
    MOST_RESULTS,
    Include,
    NoQuery,
    SearchAnswer,
    SearchBatchAnswer,
    SearchHit,
)
from api.schemas_search import SearchBatchRequest, SearchRequest
from api.security.identity import Identity
from api.services.retrieve import Found, Search
from index.rows import Hit


async def search(call: Call[SearchRequest, NoQuery]) -> SearchAnswer:
    """Search by words, by vector, or both."""
    began = time.perf_counter()
    store = await call.services.catalog.get(call.path["name"])
    found = await call.services.retriever.retrieve(store, read_search(call.body, call.identity))
    return _describe(found, call.body, began)


async def search_batch(call: Call[SearchBatchRequest, NoQuery]) -> SearchBatchAnswer:
    """Several searches in one request.

    All searches are checked before the first one runs.
    """
    began = time.perf_counter()
    store = await call.services.catalog.get(call.path["name"])
    searches = [_read(number, request, call.identity) for number, request in enumerate(call.body.searches)]
    _refuse_too_many(searches)
    found = await call.services.retriever.retrieve_many(store, searches)
    return SearchBatchAnswer(
        results=[
            _describe(one, request, began) for one, request in zip(found, call.body.searches, strict=True)
        ]
    )


def _read(number: int, request: SearchRequest, identity: Identity) -> Search:
    with located(f"searches.{number}"):
        return read_search(request, identity)


def _refuse_too_many(searches: Sequence[Search]) -> None:
    """A batch is answered as one body, so it may ask for as much as one search may."""
    wanted = sum(search.candidates for search in searches)
    if wanted > MOST_RESULTS:
        raise InvalidRequest(
            f"the searches look at {wanted} passages together, the limit is {MOST_RESULTS}: send fewer",
            param="searches",
        )


def _describe(found: Found, request: SearchRequest, began: float) -> SearchAnswer:
    return SearchAnswer(
        hits=[describe_hit(hit, request.include) for hit in found.hits],
        took_ms=round((time.perf_counter() - began) * 1000, 3),
        plan=found.plan,
        truncated_query=describe_cut_query(found.cut),
    )


def describe_hit(hit: Hit, include: Sequence[Include]) -> SearchHit:
    """A hit as it is sent, with what ``include`` asks for."""
    return SearchHit(
        id=hit.id,
        document_id=hit.document_id,
        score=hit.score,
        title=hit.title,
        start=hit.start,
        end=hit.end,
        scores=dict(hit.scores),
        page=hit.page if hit.page is not None else UNSET,
        text=hit.text if "text" in include else UNSET,
        metadata=dict(hit.metadata) if "metadata" in include else UNSET,
        vector=hit.vector if "vector" in include else UNSET,
    )
