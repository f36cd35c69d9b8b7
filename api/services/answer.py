"""A question becomes an answer with sources: retrieve, judge, generate, bind every quote to its document.

Emits events, knows no wire format: first the passages the answer may rest on, then pieces of text, at the
end what it did rest on. A quote is cut from the stored text itself, so ``quote == text[start:end]`` always
holds.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from api.services.counting import TokenCounter
from api.services.excerpts import Excerpt
from api.services.foundation import Foundation, Groundwork
from api.services.generators import RunningGenerator
from api.services.models import Models
from api.services.retrieve import Search
from api.tracing import following
from embedd.conversation import Prompt, Turn
from embedd.errors import PromptTooLong
from embedd.extractive import MOST_QUOTES, Quote
from embedd.generators import NOTHING_FOUND, Delta, GenerationSettings, Usage
from index.store import Store


@dataclass(frozen=True, slots=True)
class Source:
    """Where words of an answer stand; ``index`` is the [n] of the text, offsets count code points."""

    index: int
    document_id: str
    passage_id: str
    title: str
    quote: str
    start: int
    end: int
    page: int | None


@dataclass(frozen=True, slots=True)
class Grounding:
    """How likely the documents answer the question, from 0 to 1, and below what nothing is answered.

    An answer that ``abstained`` cites nothing.
    """

    abstained: bool
    evidence: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Candidates:
    """The passages found, before anything is said."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: what was cited, and how much was read and written, in tokens; ``grounding`` where a collection
    was asked.
    """

    cited: tuple[Source, ...]
    usage: Usage
    grounding: Grounding | None = None


AnswerEvent = Candidates | Delta | Finished
_Events = AsyncGenerator[Delta | Usage, None]


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation, oldest turn first, and where to look for the answer.

    ``scope`` says how to search ``store``; its text, or else the question itself, is searched for. Evidence
    below ``min_evidence`` (0 to 1) is none. Whoever quotes takes at most ``max_quotes`` sentences, and
    whoever writes reads passages of at most ``max_tokens``.
    """

    turns: tuple[Turn, ...]
    generator: str
    store: Store | None = None
    scope: Search | None = None
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    template_options: Mapping[str, Any] = field(default_factory=dict)
    min_evidence: float | None = None
    max_quotes: int = MOST_QUOTES
    max_tokens: int = 4_000


class Answerer:
    """Answers questions, from a collection when one is named."""

    def __init__(self, models: Models, groundwork: Groundwork, counter: TokenCounter) -> None:
        self._models = models
        self._groundwork = groundwork
        self._counter = counter

    async def answer(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer, ending with `Finished`; closing the iterator stops the generator. What is
        refused is refused before the first event.

        Raises:
            InvalidInput: nothing is asked, or this generator cannot answer it so.
            UnknownModel: no such generator.
        """
        generator = self._models.generator(question.generator)
        found, begun = await _begin(generator, question, await self._found(question, generator))
        usage: Usage | None = None
        written: list[str] = []
        cited: list[Source] = []
        async with aclosing(begun) as events:
            if found is not None:
                yield Candidates(tuple(_whole(number, one) for number, one in enumerate(found.excerpts)))
            async for event in events:
                if isinstance(event, Usage):
                    usage = event
                    continue
                if found is not None:
                    cited += [_source(quote, found.excerpts[quote.passage]) for quote in event.quotes]
                written.append(event.text)
                yield event
        if usage is None:
            usage = await self._counter.usage(_read(question, found), "".join(written))
        grounding = None if found is None else Grounding(not cited, found.evidence, found.threshold)
        yield Finished(tuple(cited), usage, grounding)

    async def _found(self, question: Question, generator: RunningGenerator) -> Foundation | None:
        if question.store is None or question.scope is None:
            return None
        asked = question.scope.text or Prompt(question.turns).question
        return await self._groundwork.lay(
            question.store,
            replace(question.scope, text=asked),
            min_evidence=question.min_evidence,
            max_quotes=question.max_quotes,
            max_tokens=None if generator.card.quotes else question.max_tokens,
        )


async def _begin(
    generator: RunningGenerator, question: Question, found: Foundation | None
) -> tuple[Foundation | None, _Events]:
    """The events of the first prompt that fits the context, with fewer passages if need be, and those."""
    while True:
        events = _generated(generator, question, found)
        try:
            first = await anext(events)
        except PromptTooLong:
            if found is None or len(found.excerpts) <= 1:
                raise
            found = found.without_last()
        else:
            return found, _resumed(first, events)


async def _resumed(first: Delta | Usage, events: _Events) -> _Events:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


def _generated(generator: RunningGenerator, question: Question, found: Foundation | None) -> _Events:
    if found is None:
        prompt = Prompt(question.turns, None, question.template_options)
    elif found.is_enough or generator.card.quotes:
        passages = tuple(one.text for one in found.excerpts)
        quotes = found.quotes if found.is_enough else ()
        prompt = Prompt(question.turns, passages, question.template_options, quotes)
    else:
        return _nothing_found(question.settings.n)
    events = generator.generate(prompt, question.settings)
    return following(events, "generation", {"gen_ai.request.model": question.generator})


async def _nothing_found(choices: int) -> _Events:
    for choice in range(choices):
        yield Delta(NOTHING_FOUND, choice=choice, finish_reason="stop")


def _read(question: Question, found: Foundation | None) -> list[str]:
    passages = () if found is None else found.excerpts
    return [turn.content for turn in question.turns] + [one.text for one in passages]


def _whole(number: int, excerpt: Excerpt) -> Source:
    return _source(Quote(number, 0, len(excerpt.text), excerpt.hit.score), excerpt)


def _source(quote: Quote, excerpt: Excerpt) -> Source:
    return Source(
        index=quote.passage + 1,
        document_id=excerpt.hit.document_id,
        passage_id=excerpt.hit.id,
        title=excerpt.hit.title,
        quote=excerpt.text[quote.start : quote.end],
        start=excerpt.start + quote.start,
        end=excerpt.start + quote.end,
        page=excerpt.hit.page,
    )
