"""Bodies about models that are added while the service runs."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from api.schemas import Answer, ErrorDetail, ModelKind, NoQuery, Request

ModelName = Annotated[str, Meta(min_length=1, max_length=200, description="What requests call it.")]
ModelStatus = Literal["registered", "downloading", "loading", "ready", "stalled", "failed"]
Description = Annotated[str, Meta(max_length=2_000)]
Source = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1_000,
        description="A hub id, a folder, s3://bucket/prefix, a model that comes along, or for generators "
        "openai:<model>@<url>.",
    ),
]


class ModelRequest(Request):
    """Without a ``name`` it is called as its source is written, or by the end of an address."""

    source: Source
    name: ModelName | None = None
    kind: ModelKind = "embedding"
    description: Description = ""
    revision: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    enabled: bool = True
    allow_pickle: Annotated[
        bool, Meta(description="Load pickled weights, which may run code when they are read.")
    ] = False


class ModelsRequest(Request):
    models: Annotated[list[ModelRequest], Meta(min_length=1, max_length=100)]


class ModelPatch(Request):
    enabled: bool | None = None
    description: Description | None = None


class ModelExchange(Request):
    """Other weights for a model: what is left out is as it was, but for the pins, which are found anew."""

    source: Source | None = None
    revision: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None
    allow_pickle: bool | None = None


class ModelProgress(Answer):
    """Bytes of files out of a bucket, once it has said how many there are."""

    bytes: int
    bytes_total: int


class ModelAnswer(Answer):
    """A model as OpenAI's clients read it, and more. Settings name a ``configured`` one; ``coming`` says how
    far other weights are while those that are there answer.
    """

    id: str
    created: int
    owned_by: str
    kind: ModelKind
    status: ModelStatus
    object: Literal["model"] = "model"
    reason: str | UnsetType = UNSET
    configured: bool | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    description: str | UnsetType = UNSET
    source: str | UnsetType = UNSET
    revision: str | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    allow_pickle: bool | UnsetType = UNSET
    coming: Literal["downloading", "loading"] | UnsetType = UNSET
    progress: ModelProgress | UnsetType = UNSET
    created_at: str | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET


class ModelList(Answer):
    data: list[ModelAnswer]
    object: Literal["list"] = "list"


class ModelOutcome(Answer):
    """One model of several: as it is, or why it was not added."""

    name: str
    model: ModelAnswer | UnsetType = UNSET
    error: ErrorDetail | UnsetType = UNSET


class ModelOutcomes(Answer):
    models: list[ModelOutcome]


class ModelForceQuery(NoQuery):
    force: bool = False
