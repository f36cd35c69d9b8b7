"""The bodies of a collection's map."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from api.schemas import Answer, NoQuery, Vector

MOST_MAP_POINTS = 5_000


class MapQuery(NoQuery):
    limit: Annotated[int, Meta(ge=1, le=MOST_MAP_POINTS)] = 2_000


class MapPoint(Answer):
    """A passage: its place, and the beginning of its text. ``start`` and ``end`` count code points of its
    document's text.
    """

    id: str
    document_id: str
    title: str
    x: float
    y: float
    start: int
    end: int
    text: str | UnsetType = UNSET


class MapProjection(Answer):
    """A vector's place is ``axes @ (vector - mean)``, of a vector of length one if ``normalized``.
    ``explained`` is each axis' share of the variance.
    """

    mean: Vector
    axes: list[Vector]
    explained: list[float]
    normalized: bool


class MapAnswer(Answer):
    """Points, evenly spread over the collection where it has more than were asked for: ``total``."""

    points: list[MapPoint]
    projection: MapProjection
    total: int
