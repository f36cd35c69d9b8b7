"""The bodies of reading points in other ways than by id: counting, values of a key, recommending."""

from typing import Annotated

from msgspec import Meta, field

from api.schemas import Answer, Filter, Id, Include, K, Request, Viewer

MetadataKey = Annotated[
    str,
    Meta(
        min_length=1,
        description="A key of the metadata; with dots, one of an object inside; or `document_id`.",
    ),
]
FacetLimit = Annotated[int, Meta(ge=1, le=1_000)]
MOST_EXAMPLES = 1_000


class PointsCount(Request):
    filter: Filter | None = None


class FacetsRequest(Request):
    key: MetadataKey
    filter: Filter | None = None
    limit: FacetLimit = 10


class FacetAnswer(Answer):
    """``count`` points have the ``value``."""

    value: str | int | float | bool | None
    count: int


class FacetsAnswer(Answer):
    """The commonest values, of ``total`` different ones."""

    values: list[FacetAnswer]
    total: int


class RecommendRequest(Request):
    """Ids of points that the answer should be like, and of such that it should be unlike."""

    positive: Annotated[list[Id], Meta(min_length=1, max_length=MOST_EXAMPLES)]
    negative: Annotated[list[Id], Meta(max_length=MOST_EXAMPLES)] = field(default_factory=list)
    k: K = 10
    filter: Filter | None = None
    acl: Viewer | None = None
    min_score: float | None = None
    include: tuple[Include, ...] = ("text", "metadata")
    exact: bool = False
