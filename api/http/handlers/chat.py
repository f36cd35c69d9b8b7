"""POST /v1/chat/completions, in OpenAI's shape, with the sources of the answer."""

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from api.errors import InvalidRequest
from api.http.routing import Call
from api.http.sse import stream_events
from api.schemas import (
    AssistantMessage,
    ChatAnswer,
    ChatChunk,
    ChatMessage,
    ChatRequest,
    ChatUsage,
    Choice,
    ChunkChoice,
    MessageDelta,
    NoQuery,
    Retrieval,
    SourceAnswer,
)
from api.services.answer import Candidates, Finished, Piece, Question, Source
from api.services.container import Services
from api.services.retrieve import Search
from embedd.generators import Turn
from index.filters import parse_filter

_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class _Heading:
    """What every chunk and answer of one completion repeats."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))


async def complete(call: Call[ChatRequest, NoQuery]) -> ChatAnswer | web.StreamResponse:
    """Chat, with sources if it retrieves; SSE if streamed."""
    request = call.body
    question = _question(request, call.services)
    heading = _Heading(request.model or question.generator)
    if not request.stream:
        return await _whole(call.services, question, heading)
    with_usage = request.stream_options is not None and request.stream_options.include_usage
    return await stream_events(
        call.request, _chunks(call.services, question, heading, with_usage=with_usage), end=_DONE
    )


async def _whole(services: Services, question: Question, heading: _Heading) -> ChatAnswer:
    pieces: list[str] = []
    async with aclosing(services.answerer.answer(question)) as events:
        async for event in events:
            if isinstance(event, Piece):
                pieces.append(event.text)
    assert isinstance(event, Finished), "an answer ends with Finished"
    return ChatAnswer(
        id=heading.id,
        created=heading.created,
        model=heading.model,
        choices=[Choice(message=AssistantMessage(content="".join(pieces)))],
        usage=_usage(event),
        sources=UNSET if question.store is None else _describe(event.cited),
    )


async def _chunks(
    services: Services, question: Question, heading: _Heading, *, with_usage: bool
) -> AsyncGenerator[ChatChunk, None]:
    """The first chunk has the role and the candidates, the last choice the sources that were cited."""

    def chunk(choices: list[ChunkChoice], sources: Sequence[Source] | None = None) -> ChatChunk:
        return ChatChunk(
            id=heading.id,
            created=heading.created,
            model=heading.model,
            choices=choices,
            usage=None if with_usage else UNSET,
            sources=UNSET if sources is None else _describe(sources),
        )

    opening = [ChunkChoice(delta=MessageDelta(role="assistant", content=""))]
    closing = [ChunkChoice(delta=MessageDelta(), finish_reason="stop")]
    opened = False
    async with aclosing(services.answerer.answer(question)) as events:  # whoever leaves stops it at once
        async for event in events:
            if not opened:
                opened = True
                yield chunk(opening, event.sources if isinstance(event, Candidates) else None)
            if isinstance(event, Piece):
                yield chunk([ChunkChoice(delta=MessageDelta(content=event.text))])
            elif isinstance(event, Finished):
                yield chunk(closing, None if question.store is None else event.cited)
                if with_usage:
                    yield replace(chunk([]), usage=_usage(event))


def _question(request: ChatRequest, services: Services) -> Question:
    """Who answers, from where: ``retrieval`` names the collection, or the model behind its last @."""
    generator, collection = _split_model(request.model, services)
    retrieval = request.retrieval or (Retrieval(collection=collection) if collection else None)
    turns = tuple(Turn(message.role, _text(message)) for message in request.messages)
    if retrieval is None:
        return Question(turns, generator)
    scope = Search(
        k=retrieval.k,
        mode=retrieval.mode,
        filter=None if retrieval.filter is None else parse_filter(retrieval.filter),
        min_score=retrieval.min_score,
        rerank=retrieval.rerank,
    )
    return Question(turns, generator, services.catalog.get(retrieval.collection), scope)


def _split_model(model: str | None, services: Services) -> tuple[str, str | None]:
    if model is None:
        return services.models.generator_name, None
    generator, at, collection = model.rpartition("@")
    return (generator, collection) if at else (model, None)


def _text(message: ChatMessage) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    others = {part.type for part in message.content} - {"text"}
    if others:
        raise InvalidRequest(
            f"messages may hold text only, not {', '.join(sorted(others))}", param="messages"
        )
    return "\n".join(part.text or "" for part in message.content)


def _describe(sources: Sequence[Source]) -> list[SourceAnswer]:
    return [
        SourceAnswer(
            index=source.index,
            document_id=source.document_id,
            passage_id=source.passage_id,
            title=source.title,
            quote=source.quote,
            start=source.start,
            end=source.end,
            page=source.page if source.page is not None else UNSET,
        )
        for source in sources
    ]


def _usage(event: Finished) -> ChatUsage:
    total = event.prompt_tokens + event.completion_tokens
    return ChatUsage(
        prompt_tokens=event.prompt_tokens, completion_tokens=event.completion_tokens, total_tokens=total
    )
