"""The fake language model behind real worker processes, and what it answers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from embedd.conversation import Continuation, Prompt, Turn
from embedd.generation.local import LocalGenerator, open_local_generator
from embedd.generators import Delta, GenerationSettings, Usage
from embedd.specs import parse_spec


@asynccontextmanager
async def open_fake_generator(
    *worker_args: str, replicas: int = 1, limits: Any = None, metrics: Any = None
) -> AsyncIterator[LocalGenerator]:
    """``worker_args`` are those of ``embedd.generation.fake_worker``."""
    spec = parse_spec("fake-llm", replicas=replicas)
    async with open_local_generator(spec, limits, metrics=metrics, worker_args=worker_args) as generator:
        await generator.wait_ready()
        yield generator


def asking(text: str, *, passages: tuple[str, ...] | None = None) -> Prompt:
    return Prompt((Turn("user", text),), passages)


async def events_of(
    generator: LocalGenerator, prompt: Prompt | Continuation, **settings: Any
) -> list[Delta | Usage]:
    async with aclosing(generator.generate(prompt, GenerationSettings(**settings))) as events:
        return [event async for event in events]


def text_of(events: Sequence[Delta | Usage], choice: int = 0) -> str:
    return "".join(one.text for one in events if isinstance(one, Delta) and one.choice == choice)


def reason_of(events: Sequence[Delta | Usage], choice: int = 0) -> str | None:
    """Why the choice ended; it ends once."""
    (reason,) = [
        one.finish_reason
        for one in events
        if isinstance(one, Delta) and one.choice == choice and one.finish_reason
    ]
    return reason


def usage_of(events: Sequence[Delta | Usage]) -> Usage:
    (usage,) = [one for one in events if isinstance(one, Usage)]
    assert events[-1] is usage, "usage comes last"
    return usage
