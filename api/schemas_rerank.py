"""What the routes that rerank and those that show tokens read and write.

Reranking has the shape that Cohere's and Jina's clients know: unknown fields are ignored, since those send
more than embedd has (``max_tokens_per_doc``, ``rank_fields``).
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from api.schemas import Answer, CutQuery, EmbeddingUsage, Request, TruncatedInput
from embedd.encoding import Token


class CohereRequest(Struct):
    """A body of Cohere's and Jina's dialect: unknown fields are ignored."""


class RerankDocument(CohereRequest):
    text: str


class RerankRequest(CohereRequest):
    query: str
    documents: list[str | RerankDocument]
    model: str | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False
    truncate: Literal["none", "start", "end"] = "end"
    raw_scores: bool = False


class RerankedDocument(Answer):
    text: str


class RerankResult(Answer):
    index: int
    relevance_score: float
    document: RerankedDocument | UnsetType = UNSET


class RerankTokens(Answer):
    input_tokens: int


class RerankMeta(Answer):
    tokens: RerankTokens


class RerankAnswer(Answer):
    """``results`` come best first. Jina's clients read tokens in ``usage``, Cohere's in ``meta``."""

    id: str
    model: str
    results: list[RerankResult]
    usage: EmbeddingUsage
    meta: RerankMeta
    truncated: list[TruncatedInput] | UnsetType = UNSET
    truncated_query: CutQuery | UnsetType = UNSET


class TokenizeRequest(Request):
    input: str | list[str]
    model: str | None = None
    add_special_tokens: bool = True


class TokenizedInput(Answer):
    index: int
    count: int
    tokens: list[Token]


class TokenizeAnswer(Answer):
    model: str
    max_tokens: int
    data: list[TokenizedInput]


class DetokenizeRequest(Request):
    ids: list[int | list[int]]
    model: str | None = None
    skip_special_tokens: bool = True


class DetokenizeAnswer(Answer):
    model: str
    texts: list[str]
