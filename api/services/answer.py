"""A question becomes an answer with sources: retrieve, generate, bind every quote to its document.

Emits events, knows no wire format: first the passages the answer may rest on, then pieces of text, at the
end what it did rest on. A quote is cut from the stored text itself, so ``quote == text[start:end]`` always
holds.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from api.services.counting import TokenCounter
from api.services.models import Models
from api.services.retrieve import Retriever, Search
from embedd.conversation import Prompt, Turn
from embedd.extractive import Quote
from embedd.generators import Delta, GenerationSettings, Usage
from index.rows import Hit
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
class Candidates:
    """The passages found, before anything is said."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: what was cited, and how much was read and written, in tokens."""

    cited: tuple[Source, ...]
    usage: Usage


AnswerEvent = Candidates | Delta | Finished


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation, oldest turn first, and where to look for the answer.

    ``scope`` says how to search ``store``; its text, or else the question itself, is searched for.
    """

    turns: tuple[Turn, ...]
    generator: str
    store: Store | None = None
    scope: Search | None = None
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    template_options: Mapping[str, Any] = field(default_factory=dict)


class Answerer:
    """Answers questions, from a collection when one is named."""

    def __init__(self, models: Models, retriever: Retriever, counter: TokenCounter) -> None:
        self._models = models
        self._retriever = retriever
        self._counter = counter

    async def answer(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer, ending with `Finished`; closing the iterator stops the generator. What is
        refused is refused before the first event.

        Raises:
            InvalidInput: nothing is asked, or this generator cannot answer it so.
            UnknownModel: no such generator.
        """
        generator = self._models.generator(question.generator)
        hits = await self._retrieve(question)
        passages = None if hits is None else tuple(hit.text or "" for hit in hits)
        prompt = Prompt(question.turns, passages, question.template_options)
        usage: Usage | None = None
        written: list[str] = []
        cited: list[Source] = []
        shown = hits is None
        async with aclosing(generator.generate(prompt, question.settings)) as events:
            async for event in events:
                if not shown:
                    shown = True
                    yield Candidates(tuple(_candidate(number, hit) for number, hit in enumerate(hits or [])))
                if isinstance(event, Usage):
                    usage = event
                    continue
                cited += [_source(quote, (hits or [])[quote.passage]) for quote in event.quotes]
                written.append(event.text)
                yield event
        if usage is None:
            usage = await self._counter.usage(_read(prompt), "".join(written))
        yield Finished(tuple(cited), usage)

    async def _retrieve(self, question: Question) -> list[Hit] | None:
        if question.store is None or question.scope is None:
            return None
        text = question.scope.text or Prompt(question.turns).question
        result = await self._retriever.retrieve(question.store, replace(question.scope, text=text))
        return [hit for hit in result.hits if hit.text]


def _read(prompt: Prompt) -> list[str]:
    return [turn.content for turn in prompt.turns] + list(prompt.passages or ())


def _candidate(number: int, hit: Hit) -> Source:
    return _source(Quote(number, 0, len(hit.text or ""), hit.score), hit)


def _source(quote: Quote, hit: Hit) -> Source:
    return Source(
        index=quote.passage + 1,
        document_id=hit.document_id,
        passage_id=hit.id,
        title=hit.title,
        quote=(hit.text or "")[quote.start : quote.end],
        start=hit.start + quote.start,
        end=hit.start + quote.end,
        page=hit.page,
    )
