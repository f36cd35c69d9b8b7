"""The native routes of text-embeddings-inference over the default model: its clients switch by address.

Shapes, defaults, headers and statuses are those of TEI 1.9. What it does in silence is said here: inputs
that were cut stand in ``x-truncated-inputs``.
"""

import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from api.errors_tei import NotThisModel
from api.http import wire
from api.http.routing import Call, Reply
from api.http.stages import Work, headers_of
from api.http.tei_body import Texts, characters_of, given, truncation_of
from api.schemas import NoQuery
from api.schemas_tei import (
    Inputs,
    TeiEmbedAllRequest,
    TeiEmbedding,
    TeiEmbedRequest,
    TeiErrorAnswer,
    TeiInfo,
    TeiModelType,
    TeiPooling,
    TeiRootRequest,
    TeiSentences,
    TeiSimilarityRequest,
)
from api.services import embedding
from api.services.container import Services
from api.services.limits import refuse_more
from api.services.models import Models
from embedd.batches import BatchLimits
from embedd.embedder import Embeddings, Lane
from embedd.specs import ModelCard
from embedd.token_vectors import TokenDtype

_MOST_IN_FULL = 32
"""Inputs of one /embed_all, as many as TEI takes by default: every token of theirs comes back as numbers."""

_FULL: TokenDtype = "float32"


async def root(call: Call[TeiRootRequest, NoQuery]) -> Reply:
    """Embed or compare, by what ``inputs`` are: for clients that know only an address."""
    body = call.body
    if isinstance(body.inputs, TeiSentences):
        return await _similarity(call.services, TeiSimilarityRequest(body.inputs, body.parameters))
    return await _embed(
        call.services,
        TeiEmbedRequest(
            inputs=body.inputs,
            normalize=body.normalize,
            dimensions=body.dimensions,
            truncate=body.truncate,
            truncation_direction=body.truncation_direction,
            prompt_name=body.prompt_name,
        ),
    )


async def embed(call: Call[TeiEmbedRequest, NoQuery]) -> Reply:
    """One vector for each input."""
    return await _embed(call.services, call.body)


async def embed_all(call: Call[TeiEmbedAllRequest, NoQuery]) -> Reply:
    """The vectors of all tokens of each input, special tokens included."""
    began = time.perf_counter()
    limit = min(_MOST_IN_FULL, call.services.settings.max_texts_per_request)
    texts = _read(call.body.inputs, limit)
    run = await _run(call.services.models, texts, call.body, token_dtype=_FULL)
    vectors = run.embedded.token_vectors
    assert vectors is not None, "they were asked for"
    rows = [list(vectors[number]) for number in range(len(vectors))]
    return Reply(rows, headers=headers_of(run.work, began), large=True, encoded=run.encoded)


async def similarity(call: Call[TeiSimilarityRequest, NoQuery]) -> Reply:
    """The cosine of a sentence to each of the others."""
    return await _similarity(call.services, call.body)


async def info(call: Call[None, NoQuery]) -> TeiInfo:
    """The default model and its limits."""
    settings = call.services.settings
    embedder = call.services.models.embedder()
    card = embedder.card
    batches = BatchLimits.of_device(embedder.device or "cpu", settings.max_batch_tokens, embedder.threads)
    return TeiInfo(
        model_id=card.name,
        model_sha=card.revision or None,
        model_dtype=embedder.dtype,
        served_model_name=card.name,
        model_type=TeiModelType(embedding=TeiPooling(pooling=card.pooling)),
        max_concurrent_requests=max(1, settings.max_waiting_tokens // card.max_tokens),
        max_input_length=card.max_tokens,
        max_batch_tokens=batches.max_tokens,
        max_batch_requests=None,
        max_client_batch_size=settings.max_texts_per_request,
        auto_truncate=True,
        tokenization_workers=len(Lane),
        version=importlib.metadata.version("embedd"),
    )


async def health(call: Call[None, NoQuery]) -> web.Response:
    """Whether requests should be sent here: 200 or 503."""
    if not call.services.readiness.reasons():
        return web.Response()
    body = TeiErrorAnswer(error="unhealthy", error_type="Unhealthy")
    return web.Response(
        status=HTTPStatus.SERVICE_UNAVAILABLE, body=wire.encode_json(body), content_type=wire.JSON
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What the model made of a request and what it took; ``encoded`` is told how long writing it takes."""

    embedded: Embeddings
    work: Work
    encoded: Callable[[float], None]


async def _embed(services: Services, request: TeiEmbedRequest) -> Reply:
    began = time.perf_counter()
    card = services.models.embedder().card
    _check_normalize(card, normalize=request.normalize)
    embedding.check_dimensions(card, request.dimensions)
    texts = _read(request.inputs, services.settings.max_texts_per_request)
    run = await _run(services.models, texts, request)
    vectors = embedding.fit(card, run.embedded.vectors, request.dimensions, normalize=request.normalize)
    large = vectors.size > wire.INLINE_NUMBERS
    return Reply(list(vectors), headers=headers_of(run.work, began), large=large, encoded=run.encoded)


async def _similarity(services: Services, request: TeiSimilarityRequest) -> Reply:
    began = time.perf_counter()
    sentences = request.inputs.sentences
    refuse_more(
        len(given(sentences, "inputs.sentences")) + 1,
        services.settings.max_texts_per_request,
        "inputs.sentences",
    )
    texts = [request.inputs.source_sentence, *sentences]
    run = await _run(services.models, texts, request.parameters or TeiEmbedding())
    cosines = embedding.cosines(run.embedded.vectors)
    return Reply(cosines, headers=headers_of(run.work, began), encoded=run.encoded)


async def _run(
    models: Models, texts: Texts, options: TeiEmbedding, token_dtype: TokenDtype | None = None
) -> _Run:
    embedder = models.embedder()
    embedded = await embedder.embed(
        texts,
        lane=embedding.lane_of(len(texts)),
        prompt=embedding.named_prompt(embedder.card, options.prompt_name),
        truncate=truncation_of(options),
        deadline_s=models.deadline_s,
        token_dtype=token_dtype,
    )
    tokens = sum(embedded.tokens)
    work = Work(embedder.device, characters_of(texts), tokens, embedded.times, embedded.truncated)
    return _Run(embedded, work, models.measured[embedder.card.name].encoded)


def _read(inputs: Inputs, limit: int) -> Texts:
    some = inputs if isinstance(inputs, str) else given(inputs, "inputs")
    return embedding.read_inputs(some, limit, "inputs")


def _check_normalize(card: ModelCard, *, normalize: bool) -> None:
    """A model's own last step is not undone: no vector is called raw that is not."""
    if card.normalized and not normalize:
        raise NotThisModel(
            f"`normalize: false` is not available: model {card.name!r} ends with a Normalize module, "
            "its vectors have length one",
            param="normalize",
        )
