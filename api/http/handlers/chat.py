"""POST /v1/chat/completions, in OpenAI's shape, with the sources of the answer."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from api.http.chat_answer import (
    WholeChoice,
    chunk_choice,
    describe_grounding,
    describe_sources,
    describe_usage,
)
from api.http.chat_question import Asked, read_question
from api.http.routing import Call
from api.http.sse import DONE, stream_events
from api.schemas import NoQuery
from api.schemas_chat import (
    ChatAnswer,
    ChatChunk,
    ChatRequest,
    ChunkChoice,
    ConversationUse,
    MessageDelta,
)
from api.services.answer import Candidates, Finished, Question, Source
from api.services.container import Services
from embedd.generators import Delta


async def complete(call: Call[ChatRequest, NoQuery]) -> ChatAnswer | web.StreamResponse:
    """Chat, with sources if it retrieves; SSE if streamed."""
    asked = await read_question(call.body, call.services, call.identity)
    if not call.body.stream:
        return await _whole(call.services, asked)
    return await stream_events(call.request, chunks(call.services, asked), end=DONE)


async def _whole(services: Services, asked: Asked) -> ChatAnswer:
    question, heading = asked.question, asked.heading
    choices = [WholeChoice(index) for index in range(question.settings.n)]
    async with aclosing(asked.answer(services)) as events:
        async for event in events:
            if isinstance(event, Delta):
                choices[event.choice].add(event)
    assert isinstance(event, Finished), "an answer ends with Finished"
    logprobs = question.settings.logprobs is not None
    return ChatAnswer(
        id=heading.id,
        created=heading.created,
        model=heading.model,
        choices=[choice.chat(logprobs=logprobs) for choice in choices],
        usage=describe_usage(event.usage),
        sources=UNSET if question.store is None else describe_sources(event.cited),
        conversation=_conversation(asked),
        rewritten_query=UNSET if asked.rewritten is None else asked.rewritten,
        grounding=describe_grounding(event.grounding),
    )


async def chunks(services: Services, asked: Asked) -> AsyncGenerator[ChatChunk, None]:
    """The first chunk has the roles, the candidates and what else is known before anything is said, the last
    one with choices the sources that were cited and the reasons for the ends.
    """
    question, heading, with_usage = asked.question, asked.heading, asked.with_usage

    def chunk(choices: list[ChunkChoice], sources: Sequence[Source] | None = None) -> ChatChunk:
        return ChatChunk(
            id=heading.id,
            created=heading.created,
            model=heading.model,
            choices=choices,
            usage=None if with_usage else UNSET,
            sources=UNSET if sources is None else describe_sources(sources),
        )

    logprobs = question.settings.logprobs is not None
    opened = False
    last: list[ChunkChoice] = []
    async with aclosing(asked.answer(services)) as events:  # whoever leaves stops it at once
        async for event in events:
            if not opened:
                opened = True
                first = chunk(_openings(question), event.sources if isinstance(event, Candidates) else None)
                rewritten = UNSET if asked.rewritten is None else asked.rewritten
                yield replace(first, conversation=_conversation(asked), rewritten_query=rewritten)
            if isinstance(event, Delta):
                if event.text or event.tool_calls or event.logprobs:
                    yield chunk([replace(chunk_choice(event, logprobs=logprobs), finish_reason=None)])
                if event.finish_reason:
                    last.append(_closing(event))
            elif isinstance(event, Finished):
                end = chunk(last, None if question.store is None else event.cited)
                yield replace(end, grounding=describe_grounding(event.grounding))
                if with_usage:
                    yield replace(chunk([]), usage=describe_usage(event.usage))


def _openings(question: Question) -> list[ChunkChoice]:
    opening = MessageDelta(role="assistant", content="")
    return [ChunkChoice(delta=opening, index=index) for index in range(question.settings.n)]


def _closing(delta: Delta) -> ChunkChoice:
    return ChunkChoice(delta=MessageDelta(), index=delta.choice, finish_reason=delta.finish_reason)


def _conversation(asked: Asked) -> ConversationUse | UnsetType:
    exchange = asked.exchange
    return UNSET if exchange is None else ConversationUse(exchange.conversation.id, exchange.left_out)
