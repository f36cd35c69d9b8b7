"""POST /v1/embeddings, in OpenAI's shape."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from api.errors import InvalidRequest
from api.http.routing import Call, Reply
from api.http.stages import Work, describe_truncated, headers_of
from api.http.wire import INLINE_NUMBERS, Base64
from api.schemas import Embedding, EmbeddingsAnswer, EmbeddingsRequest, EmbeddingUsage, NoQuery
from api.services.embedding import check_dimensions, fit, lane_of, prompt_of, read_inputs
from embedd.calibration import Calibrator, quantise_int8, to_ubinary
from embedd.embedder import Embeddings
from embedd.specs import ModelCard


async def embed(call: Call[EmbeddingsRequest, NoQuery]) -> Reply:
    """Texts to vectors."""
    began = time.perf_counter()
    request, models = call.body, call.services.models
    inputs = _inputs(request, call.services.settings.max_texts_per_request)
    embedder = models.embedder(request.model)
    card = embedder.card
    _check(request, card)
    scale = await _scale(request, models.calibrator(card))
    embedded = await embedder.embed(
        inputs,
        lane=lane_of(len(inputs)),
        prompt=prompt_of(card, request.prompt_name, request.input_type),
        truncate=request.truncate,
        deadline_s=models.deadline_s,
    )
    tokens = sum(embedded.tokens)
    characters = sum(map(len, inputs))
    work = Work(embedder.device, characters, tokens, embedded.times, embedded.truncated)
    large = embedded.vectors.size > INLINE_NUMBERS
    answer = partial(_answer, request, card, embedded, scale)
    return Reply(
        await asyncio.to_thread(answer) if large else answer(),
        headers=headers_of(work, began),
        large=large,
        encoded=models.measured[card.name].encoded,
    )


def _inputs(request: EmbeddingsRequest, limit: int) -> list[str | Sequence[int]]:
    inputs = read_inputs(request.input, limit, "input")
    if len({isinstance(one, str) for one in inputs}) > 1:
        raise InvalidRequest("`input` mixes texts with token ids: send one or the other", param="input")
    return inputs


def _check(request: EmbeddingsRequest, card: ModelCard) -> None:
    check_dimensions(card, request.dimensions)
    dim = request.dimensions or card.dim
    if request.output_dtype == "ubinary" and dim % 8:
        raise InvalidRequest(
            f"`output_dtype` ubinary packs eight numbers into a byte and needs `dimensions` that are a "
            f"multiple of 8, not {dim}",
            param="dimensions",
        )


async def _scale(request: EmbeddingsRequest, calibrator: Calibrator) -> float | None:
    """What one step of an int8 number stands for, at as many dimensions as are asked for."""
    if request.output_dtype != "int8":
        return None
    return (await calibrator.get()).scale(request.dimensions)


def _answer(
    request: EmbeddingsRequest, card: ModelCard, embedded: Embeddings, scale: float | None
) -> EmbeddingsAnswer:
    rows = _rows(request, card, embedded.vectors, scale)
    as_text = request.encoding_format == "base64"
    tokens = sum(embedded.tokens)
    return EmbeddingsAnswer(
        data=[Embedding(number, Base64(row) if as_text else row) for number, row in enumerate(rows)],
        model=card.name,
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
        truncated=describe_truncated(embedded.truncated),
        scale=UNSET if scale is None else scale,
    )


def _rows(
    request: EmbeddingsRequest, card: ModelCard, vectors: npt.NDArray[np.float32], scale: float | None
) -> npt.NDArray[Any]:
    """The vectors as they were asked for: float32 or int8 (n, d), or uint8 (n, d / 8)."""
    fitted = fit(card, vectors, request.dimensions, normalize=request.dimensions is not None)
    if scale is not None:
        return quantise_int8(fitted, scale)
    return to_ubinary(fitted) if request.output_dtype == "ubinary" else fitted
