"""POST /v1/embeddings, in OpenAI's shape."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from api.errors import InvalidRequest, PayloadTooLarge
from api.http import wire
from api.http.routing import Call, Reply
from api.schemas import (
    Embedding,
    EmbeddingsAnswer,
    EmbeddingsRequest,
    EmbeddingUsage,
    NoQuery,
    TruncatedInput,
)
from embedd.embedder import Embedder, Embeddings, Lane

_INTERACTIVE_TEXTS = 8
"""Requests of more texts than this are bulk work: they must not hold up a person who waits for a search."""


async def embed(call: Call[EmbeddingsRequest, NoQuery]) -> Reply:
    """Texts to vectors."""
    request = call.body
    texts = _texts(request, call.services.settings.max_texts_per_request)
    embedder = call.services.models.embedder(request.model)
    _check_dimensions(request.dimensions, embedder)
    embedded = await embedder.embed(
        texts,
        lane=Lane.INTERACTIVE if len(texts) <= _INTERACTIVE_TEXTS else Lane.BULK,
        prompt=_prompt(request, embedder),
        truncate=request.truncate,
        deadline_s=call.services.models.deadline_s,
    )
    cut = ",".join(str(one.index) for one in embedded.truncated)
    headers = {"x-truncated-inputs": cut} if cut else {}
    binary = wire.wants_msgpack(call.request.headers.get("Accept", ""))
    return Reply(_answer(embedded, request, embedder.card.name, binary=binary), headers=headers)


def _texts(request: EmbeddingsRequest, limit: int) -> list[str]:
    inputs = [request.input] if isinstance(request.input, str) else request.input
    if not inputs:
        raise InvalidRequest("`input` is empty: send at least one text", param="input")
    if len(inputs) > limit:
        raise PayloadTooLarge(f"`input` has {len(inputs)} texts, the limit is {limit}", param="input")
    texts = [text for text in inputs if isinstance(text, str)]
    if len(texts) < len(inputs):
        raise InvalidRequest(
            "`input` holds token ids: send text, since ids of another tokenizer would be read as other words "
            "(with LangChain set check_embedding_ctx_length=False)",
            param="input",
        )
    return texts


def _prompt(request: EmbeddingsRequest, embedder: Embedder) -> str:
    """The model's own prompt of that name; `input_type` takes a missing one as no prompt, as Cohere does."""
    prompts = embedder.card.prompts
    if request.prompt_name is None:
        return prompts.get(request.input_type or embedder.card.default_prompt_name or "", "")
    if request.prompt_name not in prompts:
        known = ", ".join(sorted(prompts)) or "none"
        raise InvalidRequest(
            f"model {embedder.card.name!r} has no prompt {request.prompt_name!r}; it has: {known}",
            param="prompt_name",
        )
    return prompts[request.prompt_name]


def _check_dimensions(dimensions: int | None, embedder: Embedder) -> None:
    if dimensions is not None and dimensions > embedder.card.dim:
        raise InvalidRequest(
            f"`dimensions` is {dimensions}, model {embedder.card.name!r} has {embedder.card.dim}",
            param="dimensions",
        )


def _answer(
    embedded: Embeddings, request: EmbeddingsRequest, model: str, *, binary: bool
) -> EmbeddingsAnswer:
    vectors = _shorten(embedded.vectors, request.dimensions)
    as_text = request.encoding_format == "base64" and not binary
    data = [
        Embedding(index=number, embedding=wire.base64_of(vector) if as_text else vector)
        for number, vector in enumerate(vectors)
    ]
    tokens = sum(embedded.tokens)
    return EmbeddingsAnswer(
        data=data,
        model=model,
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        truncated=_truncated(embedded) or UNSET,
    )


def _truncated(embedded: Embeddings) -> list[TruncatedInput]:
    return [TruncatedInput(index=one.index, tokens=one.tokens, kept=one.kept) for one in embedded.truncated]


def _shorten(vectors: npt.NDArray[np.float32], dimensions: int | None) -> Sequence[npt.NDArray[np.float32]]:
    """The first ``dimensions`` values of each row (n, dim), again of length one (arXiv 2205.13147)."""
    if dimensions is None:
        return list(vectors)
    short = vectors[:, :dimensions]
    norms = np.linalg.norm(short, axis=1, keepdims=True)
    return list(short / np.maximum(norms, np.finfo(np.float32).tiny))
