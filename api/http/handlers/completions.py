"""POST /v1/completions, in OpenAI's shape: a model goes on with texts."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from api.http.chat_answer import Heading, WholeChoice, completion_choice, describe_usage
from api.http.chat_question import metered_completion
from api.http.chat_request import completion_settings, prompts_of
from api.http.routing import Call
from api.http.sse import DONE, stream_events
from api.schemas import NoQuery
from api.schemas_chat import CompletionAnswer, CompletionChoice, CompletionRequest
from api.security.identity import Identity
from api.services.complete import Order
from api.services.container import Services
from embedd.conversation import Continuation
from embedd.generators import Delta, Usage


async def complete(call: Call[CompletionRequest, NoQuery]) -> CompletionAnswer | web.StreamResponse:
    """Go on with one text or several; SSE if streamed."""
    request = call.body
    settings, prompts = completion_settings(request), prompts_of(request)
    generator = request.model or call.services.models.generator_name
    order = Order(tuple(prompts), generator, settings)
    heading = Heading.new(generator, "cmpl")
    echoed = [_text(prompt) if request.echo else "" for prompt in prompts for _ in range(settings.n)]
    if not request.stream:
        return await _whole(call.services, order, heading, echoed, call.identity)
    with_usage = bool(request.stream_options and request.stream_options.include_usage)
    chunks = _chunks(call.services, order, heading, echoed, call.identity, with_usage=with_usage)
    return await stream_events(call.request, chunks, end=DONE)


async def _whole(
    services: Services, order: Order, heading: Heading, echoed: Sequence[str], identity: Identity
) -> CompletionAnswer:
    choices = [WholeChoice(index, [text]) for index, text in enumerate(echoed)]
    async with aclosing(metered_completion(services, order, identity)) as events:
        async for event in events:
            if isinstance(event, Delta):
                choices[event.choice].add(event)
    assert isinstance(event, Usage), "completions end with what they took"
    told = order.settings.logprobs is not None
    answered = [
        completion_choice(one.index, one.text, one.logprobs if told else None, one.finish_reason)
        for one in choices
    ]
    return CompletionAnswer(heading.id, heading.created, heading.model, answered, usage=describe_usage(event))


async def _chunks(
    services: Services,
    order: Order,
    heading: Heading,
    echoed: Sequence[str],
    identity: Identity,
    *,
    with_usage: bool,
) -> AsyncGenerator[CompletionAnswer, None]:
    """Each with a piece of one choice."""

    def chunk(choices: list[CompletionChoice]) -> CompletionAnswer:
        usage = None if with_usage else UNSET
        return CompletionAnswer(heading.id, heading.created, heading.model, choices, usage=usage)

    told = order.settings.logprobs is not None
    offsets = [0 for _ in echoed]
    waiting = list(echoed)
    async with aclosing(metered_completion(services, order, identity)) as events:
        async for event in events:
            if isinstance(event, Usage):
                if with_usage:
                    yield replace(chunk([]), usage=describe_usage(event))
                continue
            text, waiting[event.choice] = waiting[event.choice] + event.text, ""
            if text or event.logprobs or event.finish_reason:
                logprobs = event.logprobs if told else None
                offset = offsets[event.choice]
                yield chunk(
                    [completion_choice(event.choice, text, logprobs, event.finish_reason, offset=offset)]
                )
            offsets[event.choice] += len(text)


def _text(prompt: Continuation) -> str:
    assert isinstance(prompt.text, str), "prompts_of has seen to it"
    return prompt.text
