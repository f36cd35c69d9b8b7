"""POST /v1/embeddings, in OpenAI's shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from api.errors import InvalidRequest
from api.http.routing import Call, Reply
from api.http.wire import Base64
from api.schemas import (
    Embedding,
    EmbeddingsAnswer,
    EmbeddingsRequest,
    EmbeddingUsage,
    NoQuery,
    TruncatedInput,
)
from api.services.embedding import check_dimensions, fit, lane_of, named_prompt, read_inputs, typed_prompt
from embedd.embedder import Embeddings
from embedd.specs import ModelCard

_INLINE_NUMBERS = 4096
"""Answers of more numbers than this are written in a thread; these take less than a millisecond."""


async def embed(call: Call[EmbeddingsRequest, NoQuery]) -> Reply:
    """Texts to vectors."""
    request, models = call.body, call.services.models
    texts = _texts(request, call.services.settings.max_texts_per_request)
    embedder = models.embedder(request.model)
    check_dimensions(embedder.card, request.dimensions)
    _check_bits(request, embedder.card)
    embedded = await embedder.embed(
        texts,
        lane=lane_of(len(texts)),
        prompt=_prompt(request, embedder.card),
        truncate=request.truncate,
        deadline_s=models.deadline_s,
    )
    cut = ",".join(str(one.index) for one in embedded.truncated)
    rows = _rows(embedded.vectors, request, embedder.card)
    return Reply(
        _answer(rows, embedded, request, embedder.card.name),
        headers={"x-truncated-inputs": cut} if cut else {},
        large=rows.size > _INLINE_NUMBERS,
    )


def _texts(request: EmbeddingsRequest, limit: int) -> Sequence[str]:
    inputs = read_inputs(request.input, limit, "input")
    texts = [text for text in inputs if isinstance(text, str)]
    if len(texts) < len(inputs):
        raise InvalidRequest(
            "`input` holds token ids: send text, since ids of another tokenizer would be read as other words "
            "(with LangChain set check_embedding_ctx_length=False)",
            param="input",
        )
    return texts


def _prompt(request: EmbeddingsRequest, card: ModelCard) -> str:
    if request.prompt_name is None and request.input_type is not None:
        return typed_prompt(card, request.input_type)
    return named_prompt(card, request.prompt_name)


def _check_bits(request: EmbeddingsRequest, card: ModelCard) -> None:
    dim = request.dimensions or card.dim
    if request.output_dtype == "ubinary" and dim % 8:
        raise InvalidRequest(
            f"`output_dtype` ubinary packs eight numbers into a byte and needs `dimensions` that are a "
            f"multiple of 8, not {dim}",
            param="dimensions",
        )


def _rows(vectors: npt.NDArray[np.float32], request: EmbeddingsRequest, card: ModelCard) -> npt.NDArray[Any]:
    """The vectors as they were asked for: float32 (n, d), or uint8 (n, d / 8)."""
    fitted = fit(card, vectors, request.dimensions, normalize=request.dimensions is not None)
    return np.packbits(fitted > 0, axis=1) if request.output_dtype == "ubinary" else fitted


def _answer(
    rows: npt.NDArray[Any], embedded: Embeddings, request: EmbeddingsRequest, model: str
) -> EmbeddingsAnswer:
    as_text = request.encoding_format == "base64"
    tokens = sum(embedded.tokens)
    return EmbeddingsAnswer(
        data=[Embedding(number, Base64(row) if as_text else row) for number, row in enumerate(rows)],
        model=model,
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        truncated=_truncated(embedded) or UNSET,
    )


def _truncated(embedded: Embeddings) -> list[TruncatedInput]:
    return [TruncatedInput(index=one.index, tokens=one.tokens, kept=one.kept) for one in embedded.truncated]
