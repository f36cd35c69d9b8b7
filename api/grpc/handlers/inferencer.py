"""embedd.v1.Inferencer: models, and answers by those that write.

What is asked becomes HTTP's own request, so a conversation, a model's name or a setting mean the same here.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from api.errors import InvalidRequest
from api.grpc.answers import (
    describe_finish,
    describe_logprobs,
    describe_model,
    describe_opening,
    describe_usage,
    reason_of,
)
from api.grpc.calls import Call
from api.grpc.reading import fields_of, read
from api.grpc.statuses import foreseen
from api.grpc.streams import as_done
from api.grpc.v1 import inferencer_pb2 as pb
from api.http import wire
from api.http.chat_answer import WholeChoice
from api.http.chat_question import metered_completion, read_question
from api.http.chat_request import completion_settings, prompts_of
from api.http.model_requests import row_of, weights_of
from api.schemas_chat import ChatRequest, CompletionRequest
from api.schemas_models import ModelExchange, ModelsRequest
from api.services.answer import Candidates, Finished
from api.services.complete import Order
from api.services.model_rows import ModelRow
from embedd.generators import Delta, Usage

_ANSWERS_AT_ONCE = 256
"""Of one stream; a model takes as many of them together as its memory has room for."""


async def list_models(request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:  # noqa: ARG001
    """Every model, as it is now: those of the settings and those that were added."""
    return pb.ListModelsResponse(models=map(describe_model, call.services.registry.records()))


async def add_models(request: pb.AddModelsRequest, call: Call) -> pb.AddModelsResponse:
    """Add several models; one that cannot be keeps no other from it."""
    wanted = read(request, ModelsRequest)
    return pb.AddModelsResponse(models=[await _added(row_of(one), call) for one in wanted.models])


async def _added(row: ModelRow, call: Call) -> pb.AddedModel:
    try:
        record, _ = await call.services.registry.add(row)
    except Exception as error:  # noqa: BLE001 - what nobody foresaw is raised again
        return pb.AddedModel(name=row.name, error=foreseen(error).item())
    return pb.AddedModel(name=row.name, model=describe_model(record))


async def exchange_model(request: pb.ExchangeModelRequest, call: Call) -> pb.ExchangeModelResponse:
    """Have a model answer with other weights."""
    fields = fields_of(request)
    name, force = fields.pop("name", ""), fields.pop("force", False)
    wanted = weights_of(wire.checked(fields, ModelExchange))
    return pb.ExchangeModelResponse(
        model=describe_model(await call.services.registry.exchange(name, wanted, force=force))
    )


async def generate(request: pb.GenerateRequest, call: Call) -> pb.GenerateResponse:
    """One answer to a conversation, or one continuation of a text."""
    choice, usage = WholeChoice(0), None
    model, pieces = await _begin(request, call)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Usage):
                usage = piece
            else:
                choice.add(piece)
    assert usage is not None, "an answer ends with what it took"
    return pb.GenerateResponse(
        text=choice.text,
        finish_reason=reason_of(choice.finish_reason),
        usage=describe_usage(usage),
        logprobs=describe_logprobs(choice.logprobs),
        model=model,
        created=Timestamp(seconds=int(time.time())),
    )


async def generate_streaming(
    request: pb.GenerateStreamingRequest, call: Call
) -> AsyncGenerator[pb.GenerateStreamingResponse, None]:
    """The same, piece by piece."""
    reason = None
    model, pieces = await _begin(request.request, call)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Usage):
                yield pb.GenerateStreamingResponse(
                    finish_reason=reason_of(reason or "stop"), usage=describe_usage(piece), model=model
                )
                continue
            reason = piece.finish_reason or reason
            if piece.text or piece.logprobs:
                yield pb.GenerateStreamingResponse(
                    text=piece.text, logprobs=describe_logprobs(piece.logprobs), model=model
                )


async def run_batched(
    requests: AsyncIterator[pb.RunBatchedInferenceRequest], call: Call
) -> AsyncGenerator[pb.RunBatchedInferenceResponse, None]:
    """Many answers over one stream, each as it is done; one that is refused is so alone."""

    async def answer(request: pb.RunBatchedInferenceRequest) -> pb.RunBatchedInferenceResponse:
        try:
            response = await generate(request.request, call)
        except Exception as error:  # noqa: BLE001 - what nobody foresaw is raised again
            return pb.RunBatchedInferenceResponse(id=request.id, error=foreseen(error).item())
        return pb.RunBatchedInferenceResponse(id=request.id, response=response)

    async for answered in as_done(requests, answer, _ANSWERS_AT_ONCE):
        yield answered


async def chat(request: pb.ChatRequest, call: Call) -> AsyncGenerator[pb.ChatResponse, None]:
    """An answer with its sources: what it may rest on, then its pieces, at the end what it did rest on."""
    asked = await read_question(
        wire.checked(_chat_fields(request), ChatRequest), call.services, call.identity
    )
    opened, reason = False, None
    async with aclosing(asked.answer(call.services)) as events:
        async for event in events:
            if not opened:
                opened = True
                candidates = event.sources if isinstance(event, Candidates) else ()
                yield pb.ChatResponse(opening=describe_opening(asked, candidates))
            if isinstance(event, Delta):
                reason = event.finish_reason or reason
                if event.text or event.logprobs:
                    delta = pb.ChatDelta(text=event.text, logprobs=describe_logprobs(event.logprobs))
                    yield pb.ChatResponse(delta=delta)
            elif isinstance(event, Finished):
                yield pb.ChatResponse(finish=describe_finish(event, reason or "stop"))


async def _begin(request: pb.GenerateRequest, call: Call) -> tuple[str, AsyncGenerator[Delta | Usage, None]]:
    """Who answers, and the pieces of the answer, with what it took at the end."""
    if bool(request.prompt) == bool(request.messages):
        raise InvalidRequest("send either `prompt` or `messages`", param="prompt")
    fields = _chat_fields(request)
    if request.prompt:
        fields["logprobs"] = 0 if fields.get("logprobs") else None
        wanted = wire.checked(fields, CompletionRequest)
        generator = wanted.model or call.services.models.generator_name
        order = Order(tuple(prompts_of(wanted)), generator, completion_settings(wanted))
        return generator, metered_completion(call.services, order, call.identity)
    asked = await read_question(wire.checked(fields, ChatRequest), call.services, call.identity)
    return asked.heading.model, _told(asked.answer(call.services))


async def _told(events: AsyncGenerator[Any, None]) -> AsyncGenerator[Delta | Usage, None]:
    """Of an answer, what a generator says."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Delta):
                yield event
            elif isinstance(event, Finished):
                yield event.usage


def _chat_fields(request: pb.GenerateRequest | pb.ChatRequest) -> dict[str, Any]:
    """The fields of HTTP's request, which has sampling beside the messages."""
    fields = fields_of(request)
    fields |= fields.pop("options", {})
    if "viewer" in fields.get("retrieval", {}):
        fields["retrieval"]["acl"] = fields["retrieval"].pop("viewer")
    return fields
