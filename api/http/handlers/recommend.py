"""Recommend: points like some of the collection's own and unlike others."""

import time

from api.http.handlers.search import describe_hit
from api.http.index_requests import filter_of
from api.http.routing import Call
from api.schemas import NoQuery, SearchAnswer
from api.schemas_points import RecommendRequest
from api.services.recommend import Examples, Wanted
from api.services.recommend import recommend as recommend_points


async def recommend(call: Call[RecommendRequest, NoQuery]) -> SearchAnswer:
    """Points like some and unlike others."""
    began = time.perf_counter()
    body = call.body
    wanted = Wanted(
        k=body.k,
        filter=filter_of(body.filter),
        acl=call.identity.tags(body.acl),
        min_score=body.min_score,
        exact=body.exact,
        with_vectors="vector" in body.include,
    )
    store = await call.services.catalog.get(call.path["name"])
    found = await recommend_points(store, Examples(body.positive, body.negative), wanted)
    return SearchAnswer(
        hits=[describe_hit(hit, body.include) for hit in found.hits],
        took_ms=round((time.perf_counter() - began) * 1000, 3),
        plan=found.plan,
    )
