"""POST /v1/chat/completions, in OpenAI's shape, with the sources of the answer."""

import dataclasses
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from api.http.chat_answer import (
    Heading,
    WholeChoice,
    chunk_choice,
    describe_grounding,
    describe_sources,
    describe_usage,
)
from api.http.chat_request import chat_settings, turns_of
from api.http.routing import Call
from api.http.sse import DONE, stream_events
from api.schemas import NoQuery
from api.schemas_chat import ChatAnswer, ChatChunk, ChatRequest, ChunkChoice, MessageDelta, Retrieval
from api.services.answer import Candidates, Finished, Question, Source
from api.services.container import Services
from api.services.rerank_hits import LATE
from api.services.retrieve import Search
from embedd.generators import Delta
from index.filters import parse_filter
from index.store import Store


async def complete(call: Call[ChatRequest, NoQuery]) -> ChatAnswer | web.StreamResponse:
    """Chat, with sources if it retrieves; SSE if streamed."""
    request = call.body
    question = _question(request, call.services)
    heading = Heading.new(request.model or question.generator)
    if not request.stream:
        return await _whole(call.services, question, heading)
    with_usage = bool(request.stream_options and request.stream_options.include_usage)
    return await stream_events(
        call.request, _chunks(call.services, question, heading, with_usage=with_usage), end=DONE
    )


async def _whole(services: Services, question: Question, heading: Heading) -> ChatAnswer:
    choices = [WholeChoice(index) for index in range(question.settings.n)]
    async with aclosing(services.answerer.answer(question)) as events:
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
        grounding=describe_grounding(event.grounding),
    )


async def _chunks(
    services: Services, question: Question, heading: Heading, *, with_usage: bool
) -> AsyncGenerator[ChatChunk, None]:
    """The first chunk has the roles and the candidates, the last one with choices the sources that were
    cited and the reasons for the ends.
    """

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
    async with aclosing(services.answerer.answer(question)) as events:  # whoever leaves stops it at once
        async for event in events:
            if not opened:
                opened = True
                yield chunk(_openings(question), event.sources if isinstance(event, Candidates) else None)
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


def _question(request: ChatRequest, services: Services) -> Question:
    """Who answers, from where: ``retrieval`` names the collection, or the model behind its last @."""
    generator, collection = services.models.split_generator(request.model)
    retrieval = request.retrieval or (Retrieval(collection=collection) if collection else None)
    question = Question(
        turns=turns_of(request.messages),
        generator=generator,
        settings=chat_settings(request),
        template_options=request.chat_template_kwargs or {},
    )
    if retrieval is None:
        return question
    store = services.catalog.get(retrieval.collection)
    scope = Search(
        k=retrieval.k,
        mode=retrieval.mode,
        filter=None if retrieval.filter is None else parse_filter(retrieval.filter),
        min_score=retrieval.min_score,
        rerank=_usual_rerank(store) if isinstance(retrieval.rerank, UnsetType) else retrieval.rerank,
    )
    return dataclasses.replace(
        question,
        store=store,
        scope=scope,
        min_evidence=retrieval.min_evidence,
        max_quotes=retrieval.max_quotes,
        max_tokens=retrieval.max_tokens,
    )


def _usual_rerank(store: Store) -> str | None:
    """Late interaction where it costs next to nothing: nothing else without weights finds as much."""
    return None if store.settings.token_vectors is None else LATE
