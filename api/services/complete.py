"""Texts to go on with become completions: one generator, several prompts at once. Knows no wire format."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from api.services.counting import TokenCounter
from api.services.models import Models
from api.tracing import following
from embedd.conversation import Continuation
from embedd.generators import Delta, GenerationSettings, Usage
from embedd.ownership import beside

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What ``generator`` is to go on with; choice ``c`` of prompt ``p`` is told as ``p * n + c``."""

    prompts: tuple[Continuation, ...]
    generator: str
    settings: GenerationSettings


class Completer:
    """Completes texts; what generators do not count is counted here."""

    def __init__(self, models: Models, counter: TokenCounter) -> None:
        self._models = models
        self._counter = counter

    async def complete(self, order: Order) -> AsyncGenerator[Delta | Usage, None]:
        """The pieces as they come, at the end what all of it took; closing the iterator stops everything.

        Raises:
            UnknownModel: no such generator.
            EmbeddError: what the generator raises; then nothing more is said of any prompt.
        """
        generator = self._models.generator(order.generator)
        told = {"gen_ai.request.model": order.generator}
        sources = [
            following(generator.generate(prompt, order.settings), "generation", told)
            for prompt in order.prompts
        ]
        written = [""] * len(sources)
        taken: dict[int, Usage] = {}
        async with aclosing(_merged(sources)) as events:
            async for number, event in events:
                if isinstance(event, Usage):
                    taken[number] = event
                else:
                    written[number] += event.text
                    yield replace(event, choice=number * order.settings.n + event.choice)
        for number, prompt in enumerate(order.prompts):
            if number not in taken:
                read = [prompt.text] if isinstance(prompt.text, str) else []
                taken[number] = await self._counter.usage(read, written[number])
        yield _sum(list(taken.values()))


async def _merged(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[tuple[int, T], None]:
    """What all ``sources`` give, with the number of each, as it comes; one that fails ends the others."""
    queue: asyncio.Queue[tuple[int, T] | Exception | None] = asyncio.Queue(maxsize=len(sources))

    async def drain(number: int, source: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(source) as items:
                async for item in items:
                    await queue.put((number, item))
        except Exception as error:  # noqa: BLE001 - it is raised where the others are ended
            await queue.put(error)
        else:
            await queue.put(None)

    async with beside(*(drain(number, source) for number, source in enumerate(sources))):
        under_way = len(sources)
        while under_way:
            one = await queue.get()
            if isinstance(one, Exception):
                raise one
            if one is None:
                under_way -= 1
            else:
                yield one


def _sum(all_: Sequence[Usage]) -> Usage:
    return Usage(
        prompt_tokens=sum(one.prompt_tokens for one in all_),
        completion_tokens=sum(one.completion_tokens for one in all_),
        cached_tokens=sum(one.cached_tokens for one in all_),
        accepted_tokens=sum(one.accepted_tokens for one in all_),
        rejected_tokens=sum(one.rejected_tokens for one in all_),
    )
