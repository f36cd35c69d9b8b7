"""The public contract as types: every body the service reads or writes.

One struct serves validation, encoding and the OpenAPI page. Requests refuse unknown fields, except the
OpenAI-shaped ones, which take and ignore what their clients send. Answers leave out what is not set.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.services.file_types import Kind

Metadata = dict[str, Any]
Filter = Annotated[
    dict[str, Any],
    Meta(description='Conditions on metadata, such as {"lang": "en", "year": {"$gte": 2020}}.'),
]
Vector = Annotated[
    Any,
    Meta(
        description="Numbers, base64 of little-endian float32, or in msgpack the raw bytes.",
        extra_json_schema={
            "oneOf": [
                {"type": "array", "items": {"type": "number"}},
                {"type": "string", "contentEncoding": "base64"},
            ]
        },
    ),
]
Id = Annotated[str, Meta(min_length=1, description="1 to 512 bytes, no control characters.")]
Title = Annotated[
    str, Meta(max_length=1_000, description="Every passage is found by it, so it is kept short.")
]
Version = Annotated[
    int, Meta(ge=0, description="The version that the stored one must have; 0 if there must be none.")
]
ExpiresAt = Annotated[
    datetime, Meta(tz=True, description="From this moment on it is not there any more; any offset from UTC.")
]
Acl = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=256)]],
    Meta(max_length=256, description="Tags of those who may see it; without tags everybody may."),
]
Viewer = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=256)]],
    Meta(
        max_length=256,
        description="Tags of who asks: only what has one of them or has none is found; left out: all.",
    ),
]
MOST_RESULTS = 10_000
K = Annotated[int, Meta(ge=1, le=MOST_RESULTS, description="How many results at most.")]
PageSize = Annotated[int, Meta(ge=1, le=1_000)]
Mode = Literal["hybrid", "dense", "lexical"]
Include = Literal["text", "metadata", "vector"]
Tokenizer = Annotated[
    Literal["porter", "unicode61", "trigram"],
    Meta(description="How texts are cut into words: English stems, words, or any three characters."),
]
Rerank = Annotated[
    str,
    Meta(
        min_length=1,
        description="`late` for late interaction, or the name of a reranking model.",
    ),
]


class Request(Struct, forbid_unknown_fields=True):
    """A body of our own dialect: an unknown field is an error."""


class OpenAIRequest(Struct):
    """A body of OpenAI's dialect: unknown fields are ignored."""


class Answer(Struct):
    """What the service writes; fields that are UNSET are left out."""


class ErrorDetail(Answer):
    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(Answer):
    error: ErrorDetail


# --- health, info and models ---------------------------------------------------------------------


class Health(Answer):
    status: Literal["ok"] = "ok"


class Readiness(Answer):
    """``notes`` tell what else cannot answer, and keeps nothing from being ready."""

    ready: bool
    reasons: list[str]
    notes: list[str] | UnsetType = UNSET


class Startup(Answer):
    started: bool
    reasons: list[str]


ModelKind = Literal["embedding", "reranking", "generator"]
ModelState = Literal["loading", "ready", "stalled", "failed"]


class ModelInfo(Answer):
    """A model that could not be opened has a ``reason`` and nothing that its files would tell."""

    name: str
    kind: ModelKind
    status: ModelState
    reason: str | None
    source: str | UnsetType = UNSET
    device: str | UnsetType = UNSET
    dtype: str | UnsetType = UNSET
    dim: int | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    context: int | UnsetType = UNSET
    prompts: list[str] | UnsetType = UNSET
    revision: str | UnsetType = UNSET
    sha256: str | UnsetType = UNSET


class Info(Answer):
    name: str
    version: str
    default_model: str | None
    default_reranker: str | None
    generator: str
    models: list[ModelInfo]
    collections: int
    limits: dict[str, int]


# --- embeddings ----------------------------------------------------------------------------------


class EmbeddingsRequest(OpenAIRequest):
    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    output_dtype: Literal["float", "int8", "ubinary"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    input_type: str | None = None
    prompt_name: str | None = None
    truncate: Literal["none", "start", "end"] = "end"
    user: str | None = None


class Embedding(Answer):
    index: int
    embedding: Vector
    object: Literal["embedding"] = "embedding"


class TruncatedInput(Answer):
    """Input ``index`` had ``tokens`` tokens, or ``at_least`` so many, of which the model took ``kept``."""

    index: int
    tokens: int
    kept: int
    at_least: bool | UnsetType = UNSET


class EmbeddingUsage(Answer):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    """``scale``: what one step of an int8 number stands for."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: Literal["list"] = "list"
    truncated: list[TruncatedInput] | UnsetType = UNSET
    scale: float | UnsetType = UNSET


# --- collections ---------------------------------------------------------------------------------


class CollectionRequest(Request):
    model: str | None = None
    dim: Annotated[int, Meta(ge=1, le=4096)] | None = None
    metric: Literal["cosine", "dot", "l2"] = "cosine"
    description: str | None = None
    token_vectors: Literal["2bit"] | None = None
    tokenizer: Tokenizer = "porter"
    quantization: Literal["int8", "none"] | None = None
    chunk_tokens: Annotated[int, Meta(ge=16, le=8192)] | None = None


class CollectionPatch(Request):
    description: str


class CollectionAnswer(Answer):
    name: str
    dim: int
    metric: str
    model: str | None
    model_revision: str | None
    description: str
    token_vectors: str | None
    tokenizer: str
    quantization: str
    chunk_tokens: int | None
    documents: int
    points: int
    size_bytes: int
    memory_bytes: int
    mapped_bytes: int


class CollectionList(Answer):
    collections: list[CollectionAnswer]


class Deleted(Answer):
    deleted: int


# --- documents -----------------------------------------------------------------------------------


class DocumentRequest(Request):
    """Either ``text``, or ``data`` (the bytes of a file, base64 in JSON) with its ``format``."""

    id: Id | None = None
    text: str | None = None
    data: bytes | None = None
    format: Kind | None = None
    title: Title | None = None
    metadata: Metadata = {}
    password: str | None = None
    version: Version | None = None
    expires_at: ExpiresAt | None = None
    acl: Acl = []


class DocumentsRequest(Request):
    documents: Annotated[list[DocumentRequest], Meta(min_length=1)]


class DocumentOutcome(Answer):
    """``new`` and ``changed`` are what a dry run finds, and nothing was written of."""

    id: str
    status: Literal["ready", "unchanged", "failed", "new", "changed"]
    passages: int
    tokens: int
    error: str | UnsetType = UNSET
    code: str | UnsetType = UNSET


class DocumentOutcomes(Answer):
    documents: list[DocumentOutcome]


class DocumentAnswer(Answer):
    id: str
    title: str
    metadata: Metadata
    version: int
    passages: int
    tokens: int
    characters: int
    media_type: str
    created_at: str
    updated_at: str
    expires_at: str | UnsetType = UNSET
    acl: list[str] | UnsetType = UNSET
    text: str | UnsetType = UNSET


class DocumentPage(Answer):
    documents: list[DocumentAnswer]
    next: str | None


class DocumentsDelete(Request):
    ids: list[Id] | None = None
    filter: Filter | None = None


# --- points --------------------------------------------------------------------------------------


class PointRequest(Request):
    id: Id
    vector: Vector
    text: str | None = None
    title: Title | None = None
    metadata: Metadata = {}
    version: Version | None = None
    expires_at: ExpiresAt | None = None
    acl: Acl = []


class PointsRequest(Request):
    points: Annotated[list[PointRequest], Meta(min_length=1)]


class Upserted(Answer):
    upserted: int


class PointsGet(Request):
    ids: Annotated[list[Id], Meta(min_length=1, max_length=10_000)]
    include: tuple[Include, ...] = ("text", "metadata")


class PointsDelete(Request):
    ids: list[Id] | None = None
    filter: Filter | None = None


class PointsScroll(Request):
    limit: PageSize = 100
    after: str | None = None
    filter: Filter | None = None
    include: tuple[Include, ...] = ("text", "metadata")


class PointAnswer(Answer):
    id: str
    document_id: str
    version: int
    title: str
    text: str | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    vector: Vector | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    acl: list[str] | UnsetType = UNSET


class PointList(Answer):
    points: list[PointAnswer]


class PointPage(Answer):
    """``next`` is the ``after`` of the next page, null at the end."""

    points: list[PointAnswer]
    next: str | None


class Count(Answer):
    count: int


# --- search --------------------------------------------------------------------------------------


class SearchHit(Answer):
    id: str
    document_id: str
    score: float
    title: str
    start: int
    end: int
    scores: dict[str, float]
    page: int | UnsetType = UNSET
    text: str | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET
    vector: Vector | UnsetType = UNSET


class CutQuery(Answer):
    """The query had ``tokens`` tokens, or ``at_least`` so many, of which the model took ``kept``."""

    tokens: int
    kept: int
    at_least: bool | UnsetType = UNSET


class SearchAnswer(Answer):
    hits: list[SearchHit]
    took_ms: float
    plan: str
    truncated_query: CutQuery | UnsetType = UNSET


class SearchBatchAnswer(Answer):
    results: list[SearchAnswer]


# --- what the address line may carry -------------------------------------------------------------


class NoQuery(Struct, forbid_unknown_fields=True):
    """A route without query parameters."""


class IngestQuery(NoQuery):
    wait: bool = False
    dry_run: bool = False


class DocumentQuery(NoQuery):
    include: Literal["text"] | None = None


class DocumentPageQuery(NoQuery):
    limit: PageSize = 100
    after: str | None = None
