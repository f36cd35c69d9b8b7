"""The map of a collection."""

from msgspec import UNSET

from api.http.routing import Call, Reply
from api.schemas_map import MapAnswer, MapPoint, MapProjection, MapQuery
from api.services.map import CollectionMap, Projection, draw_map
from index.rows import StoredPoint

_EXCERPT = 240
"""Characters of each passage; all of it is a ``points/get`` away."""


async def draw(call: Call[None, MapQuery]) -> Reply:
    """The passages of a collection as points of a plane."""
    store = await call.services.catalog.get(call.path["name"])
    drawn = await draw_map(store, call.query.limit)
    return Reply(_describe(drawn, normalized=store.settings.metric == "cosine"), large=True)


def _describe(drawn: CollectionMap, *, normalized: bool) -> MapAnswer:
    return MapAnswer(
        points=[
            _point(point, x, y) for point, (x, y) in zip(drawn.points, drawn.places.tolist(), strict=True)
        ],
        projection=_projection(drawn.projection, normalized=normalized),
        total=drawn.total,
    )


def _point(point: StoredPoint, x: float, y: float) -> MapPoint:
    return MapPoint(
        id=point.id,
        document_id=point.document_id,
        title=point.title,
        x=round(x, 4),
        y=round(y, 4),
        start=point.start,
        end=point.end,
        text=point.text[:_EXCERPT] if point.text else UNSET,
    )


def _projection(projection: Projection, *, normalized: bool) -> MapProjection:
    return MapProjection(
        mean=projection.mean,
        axes=list(projection.axes),
        explained=projection.explained.tolist(),
        normalized=normalized,
    )
