"""What to search for when a question goes on from earlier ones."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from api.services.generators import RunningGenerator, Weightless
from api.services.models import Models
from embedd.conversation import Turn
from embedd.follow_up import carry_over, read_rewriting, rewriting
from embedd.generators import Delta, GenerationSettings
from embedd.sampling import Sampling

_MOST_TOKENS: Final = 96


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A question that stands for itself, and the ``turns`` with which a generator is to answer it."""

    text: str
    turns: tuple[Turn, ...]


class FollowUps:
    """Rewrites questions by the history: by a language model where one answers, else by terms."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def rewrite(self, generator: str, turns: Sequence[Turn]) -> Rewritten | None:
        """The last question, if it should be searched for in other words; None if as it is.

        Raises:
            UnknownModel: no such generator.
            EmbeddError: the model did not rewrite it.
        """
        places = [n for n, turn in enumerate(turns) if turn.role == "user" and turn.content.strip()]
        if len(places) < 2:  # noqa: PLR2004 - nothing to go on from
            return None
        question = turns[places[-1]].content.strip()
        answering = self._models.generator(generator)
        if isinstance(answering, Weightless):
            text = carry_over(question, [turns[place].content for place in places[:-1]])
            return None if text is None else Rewritten(text, _asking(turns, places[-1], text))
        written = await _written(answering, turns[: places[-1] + 1])
        return None if written in (None, question) else Rewritten(written or question, tuple(turns))


async def _written(generator: RunningGenerator, turns: Sequence[Turn]) -> str | None:
    """What the model makes of it; it has the history itself, so it answers the question as it was."""
    settings = GenerationSettings(sampling=Sampling(temperature=0.0), max_tokens=_MOST_TOKENS)
    async with aclosing(generator.generate(rewriting(turns), settings)) as source:
        return read_rewriting("".join([event.text async for event in source if isinstance(event, Delta)]))


def _asking(turns: Sequence[Turn], place: int, text: str) -> tuple[Turn, ...]:
    """The turns for a generator that reads the question alone."""
    return (*turns[:place], replace(turns[place], content=text), *turns[place + 1 :])
