"""Points: rows whose vectors the client brings, and passages read back one by one."""

from collections.abc import Sequence

from msgspec import UNSET

from api.http.idempotency import once_of
from api.http.index_requests import delete_selected, filter_of, read_point
from api.http.routing import Call
from api.schemas import (
    Count,
    Deleted,
    Include,
    NoQuery,
    PointAnswer,
    PointList,
    PointPage,
    PointsDelete,
    PointsGet,
    PointsRequest,
    PointsScroll,
    Upserted,
)
from api.schemas_points import FacetAnswer, FacetsAnswer, FacetsRequest, PointsCount
from api.services.limits import refuse_more
from index.rows import StoredPoint


async def post(call: Call[PointsRequest, NoQuery]) -> Upserted:
    """Write points with their own vectors."""
    store = await call.services.catalog.get(call.path["name"])
    points, limit = call.body.points, call.services.settings.max_points_per_request
    refuse_more(len(points), limit, "points")
    documents = [read_point(number, point) for number, point in enumerate(points)]
    await store.upsert(documents, once=await once_of(call.request))
    return Upserted(upserted=len(points))


async def get(call: Call[PointsGet, NoQuery]) -> PointList:
    """Points by id, in the order asked."""
    store = await call.services.catalog.get(call.path["name"])
    found = await store.points(call.body.ids, with_vectors="vector" in call.body.include)
    return PointList(points=[_describe(point, call.body.include) for point in found])


async def delete(call: Call[PointsDelete, NoQuery]) -> Deleted:
    """Delete points by ids or filter."""
    store = await call.services.catalog.get(call.path["name"])
    once = await once_of(call.request)
    return Deleted(deleted=await delete_selected(store, call.body.ids, call.body.filter, once))


async def scroll(call: Call[PointsScroll, NoQuery]) -> PointPage:
    """All points, page by page."""
    store = await call.services.catalog.get(call.path["name"])
    body = call.body
    found, after = await store.scroll(
        body.limit, body.after, filter_of(body.filter), with_vectors="vector" in body.include
    )
    return PointPage(points=[_describe(point, body.include) for point in found], next=after)


async def count(call: Call[None, NoQuery]) -> Count:
    """How many points there are."""
    return Count(count=await (await call.services.catalog.get(call.path["name"])).count())


async def count_matching(call: Call[PointsCount, NoQuery]) -> Count:
    """How many points match."""
    store = await call.services.catalog.get(call.path["name"])
    return Count(count=await store.count(filter_of(call.body.filter)))


async def facets(call: Call[FacetsRequest, NoQuery]) -> FacetsAnswer:
    """The values of a metadata key, and how many points have each."""
    store, body = await call.services.catalog.get(call.path["name"]), call.body
    found = await store.facets(body.key, body.limit, filter_of(body.filter))
    return FacetsAnswer(
        values=[FacetAnswer(value=one.value, count=one.points) for one in found.values], total=found.total
    )


def _describe(point: StoredPoint, include: Sequence[Include]) -> PointAnswer:
    return PointAnswer(
        id=point.id,
        document_id=point.document_id,
        version=point.version,
        title=point.title,
        text=point.text if "text" in include else UNSET,
        metadata=dict(point.metadata) if "metadata" in include else UNSET,
        vector=point.vector if "vector" in include else UNSET,
        expires_at=point.expires_at or UNSET,
        acl=list(point.acl) or UNSET,
    )
