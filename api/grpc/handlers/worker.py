"""embedd.v1.Worker: models for services on other machines, which make the tokens themselves."""

from typing import Any

import numpy as np

from api.errors import InvalidRequest
from api.grpc.calls import Call
from api.grpc.v1 import worker_pb2 as pb
from api.services.limits import refuse_more
from api.services.registry import RETRY_AFTER_S
from embedd.batches import BatchLimits
from embedd.embedder import Embedder
from embedd.encoding import Encoding
from embedd.engine import Result
from embedd.errors import ModelUnavailable
from embedd.fake import FakeTokenizer
from embedd.lanes import Lane
from embedd.reranker import Reranker
from embedd.token_vectors import TokenDtype
from embedd.tokenizer import Tokenizer

Model = Embedder | Reranker

_DTYPES: dict[int, TokenDtype | None] = {
    pb.TOKEN_VECTORS_UNSPECIFIED: None,
    pb.TOKEN_VECTORS_FLOAT32: "float32",
    pb.TOKEN_VECTORS_INT8: "int8",
}


async def describe(request: pb.DescribeRequest, call: Call) -> pb.DescribeResponse:
    """A model, once it is loaded, and all it takes to make its tokens elsewhere."""
    model = _model(request.kind, request.model, call)
    if not model.device:
        raise ModelUnavailable(
            f"model {model.card.name!r} is {model.status.state}: {model.status.reason or 'not loaded yet'}",
            RETRY_AFTER_S,
        )
    card = model.card
    return pb.DescribeResponse(
        model=card.name,
        dim=card.dim,
        max_tokens=card.max_tokens,
        normalized=card.normalized,
        pooling=card.pooling,
        prompts=card.prompts,
        default_prompt_name=card.default_prompt_name,
        activation=card.activation,
        revision=card.revision,
        sha256=card.sha256,
        dtype=model.dtype,
        device=model.device,
        max_batch_tokens=_batch_tokens(model, call),
        max_inputs=call.services.settings.max_texts_per_request,
        tokenizer=None if request.brief else _tokenizer(model),
    )


async def run(request: pb.RunRequest, call: Call) -> pb.RunResponse:
    """The rows of inputs that are token ids already."""
    model = _model(request.kind, request.model, call)
    if request.token_vectors not in _DTYPES:
        raise InvalidRequest(f"`token_vectors` is {request.token_vectors}", param="token_vectors")
    inputs, dtype = _inputs(request, model, call), _DTYPES[request.token_vectors]
    lane, deadline_s = Lane.BULK if request.bulk else Lane.INTERACTIVE, call.models.deadline_s
    if isinstance(model, Embedder):
        result = await model.embed_encoded(inputs, lane=lane, deadline_s=deadline_s, token_dtype=dtype)
    else:
        result = await model.rerank_encoded(inputs, lane=lane, deadline_s=deadline_s)
    call.spend(sum(result.tokens))
    waiting = sum(model.waiting_tokens(each) for each in Lane)
    return _response(result, waiting)


def _model(kind: int, name: str, call: Call) -> Model:
    models = call.services.models
    if kind == pb.KIND_EMBEDDING:
        return models.embedder(name or None)
    if kind == pb.KIND_RERANKING:
        return models.reranker(name or None)
    raise InvalidRequest("`kind` says what the model is for: embedding or reranking", param="kind")


def _tokenizer(model: Model) -> pb.Tokenizer:
    tokenizer = model.tokenizer
    if isinstance(tokenizer, FakeTokenizer):
        return pb.Tokenizer()
    if not isinstance(tokenizer, Tokenizer):
        raise InvalidRequest(
            f"model {model.card.name!r} is elsewhere itself ({model.card.source}): name those servers",
            param="model",
        )
    file = tokenizer.file
    return pb.Tokenizer(
        description=file.description,
        lowercase=file.lowercase,
        segments=file.segments,
        embedded=file.embedded,
    )


def _batch_tokens(model: Model, call: Call) -> int:
    threads = getattr(model, "threads", 1)
    return BatchLimits.of_device(model.device, call.services.settings.max_batch_tokens, threads).max_tokens


def _inputs(request: pb.RunRequest, model: Model, call: Call) -> list[Encoding]:
    lengths = list(request.lengths)
    refuse_more(len(lengths), call.services.settings.max_texts_per_request, "lengths")
    seconds = list(request.seconds) or [-1] * len(lengths)
    if len(request.ids) != 4 * sum(lengths) or len(seconds) != len(lengths) or not lengths:
        raise InvalidRequest("`ids`, `lengths` and `seconds` do not fit each other", param="lengths")
    if not 0 < min(lengths) <= max(lengths) <= model.card.max_tokens:
        raise InvalidRequest(f"an input has 1 to {model.card.max_tokens} tokens", param="lengths")
    ids: Any = np.frombuffer(request.ids, dtype="<i4").astype(np.int32, copy=False)
    if ids.min() < 0 or ids.max() >= model.tokenizer.vocab_size:
        raise InvalidRequest("`ids` has tokens that the model does not know", param="ids")
    if any(not -1 <= second <= length for second, length in zip(seconds, lengths, strict=True)):
        raise InvalidRequest("`seconds` are places in their inputs, or -1", param="seconds")
    parts = np.split(ids, np.cumsum(lengths)[:-1])
    return [Encoding(part, len(part), second) for part, second in zip(parts, seconds, strict=True)]


def _response(result: Result, waiting_tokens: int) -> pb.RunResponse:
    response = pb.RunResponse(
        rows=result.rows.astype("<f4", copy=False).tobytes(),
        dim=result.rows.shape[1],
        waiting_tokens=waiting_tokens,
    )
    if result.token_vectors is not None:
        values = result.token_vectors.values
        response.token_rows, response.token_dim = values.tobytes(), values.shape[1]
    return response
