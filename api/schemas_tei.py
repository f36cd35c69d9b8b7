"""The dialect of text-embeddings-inference as types: what its native routes read and write.

Names, defaults and nesting are those of its 1.9 (router/src/http/types.rs); unknown fields are ignored, as
there. ``truncate`` left out means true, which is its default since 1.9.
"""

from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

ErrorType = Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]
Direction = Literal["left", "right", "Left", "Right"]
Inputs = Annotated[
    str | list[str | int | list[int]],
    Meta(description="A text, token ids, or a list of texts and lists of token ids."),
]
Matrix = list[list[float]]


class TeiRequest(Struct):
    """A body of TEI's dialect: unknown fields are ignored."""


class TeiAnswer(Struct):
    """What the service writes on TEI's routes; fields that are UNSET are left out."""


class TeiErrorAnswer(TeiAnswer):
    error: str
    error_type: Annotated[str, Meta(extra_json_schema={"enum": list(get_args(ErrorType))})]


class TeiOptions(TeiRequest, kw_only=True):
    """What the routes that run a model share."""

    truncate: bool | None = None
    truncation_direction: Direction = "right"


class TeiEmbedding(TeiOptions, kw_only=True):
    """What the routes that embed share."""

    prompt_name: str | None = None


class TeiEmbedRequest(TeiEmbedding, kw_only=True):
    inputs: Inputs
    normalize: bool = True
    dimensions: int | None = None


class TeiEmbedAllRequest(TeiEmbedding, kw_only=True):
    inputs: Inputs


class TeiSentences(TeiRequest):
    source_sentence: str
    sentences: list[str]


class TeiSimilarityRequest(TeiRequest):
    inputs: TeiSentences
    parameters: TeiEmbedding | None = None


class TeiRootRequest(TeiEmbedding, kw_only=True):
    """The body of /embed or of /similarity: clients that know only an address post either to it."""

    inputs: str | list[str | int | list[int]] | TeiSentences
    normalize: bool = True
    dimensions: int | None = None
    parameters: TeiEmbedding | None = None


class TeiRerankRequest(TeiOptions, kw_only=True):
    query: str
    texts: list[str] | UnsetType = UNSET
    raw_scores: bool = False
    return_text: bool = False


class TeiRank(TeiAnswer):
    index: int
    score: float
    text: str | UnsetType = UNSET


class TeiTokenizeRequest(TeiRequest):
    inputs: str | list[str]
    add_special_tokens: bool = True
    prompt_name: str | None = None


class TeiDecodeRequest(TeiRequest):
    ids: list[int | list[int]]
    skip_special_tokens: bool = True


class TeiPooling(TeiAnswer):
    pooling: str


class TeiModelType(TeiAnswer):
    embedding: TeiPooling


class TeiInfo(TeiAnswer):
    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: TeiModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None = None
    docker_label: str | None = None
