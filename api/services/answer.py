"""A question becomes an answer with sources: retrieve, generate, bind every quote to its document.

Emits events, knows no wire format: first the passages the answer may rest on, then pieces of text, at the
end what it did rest on. A quote is cut from the stored text itself, so ``quote == text[start:end]`` always
holds.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from api.services.models import Models
from api.services.retrieve import Retriever, Search
from embedd.extractive import Quote
from embedd.generators import Prompt, Turn
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
class Piece:
    """The next words."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end: what was cited, and how much was read and written, in tokens."""

    cited: tuple[Source, ...]
    prompt_tokens: int
    completion_tokens: int


AnswerEvent = Candidates | Piece | Finished


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation, oldest turn first, and where to look for the answer.

    ``scope`` says how to search ``store``; its text is the question itself.
    """

    turns: tuple[Turn, ...]
    generator: str
    store: Store | None = None
    scope: Search | None = None


class Answerer:
    """Answers questions, from a collection when one is named."""

    def __init__(self, models: Models, retriever: Retriever) -> None:
        self._models = models
        self._retriever = retriever

    async def answer(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer, ending with `Finished`; closing the iterator stops the generator.

        Raises:
            InvalidInput: nothing is asked, or this generator cannot answer without a collection.
            UnknownModel: no such generator.
        """
        generator = self._models.generator(question.generator)
        prompt = Prompt(question.turns)
        hits = await self._retrieve(question, prompt.question)
        if hits is not None:
            prompt = replace(prompt, passages=tuple(hit.text or "" for hit in hits))
            yield Candidates(tuple(_candidate(number, hit) for number, hit in enumerate(hits)))
        written: list[str] = []
        cited: list[Source] = []
        async with aclosing(generator.generate(prompt)) as deltas:
            async for delta in deltas:
                cited += [_source(quote, (hits or [])[quote.passage]) for quote in delta.quotes]
                written.append(delta.text)
                yield Piece(delta.text)
        tokens_read = await asyncio.to_thread(self._count, _read(prompt))
        yield Finished(tuple(cited), tokens_read, self._count(["".join(written)]))

    async def _retrieve(self, question: Question, text: str) -> list[Hit] | None:
        if question.store is None or question.scope is None:
            return None
        result = await self._retriever.retrieve(question.store, replace(question.scope, text=text))
        return [hit for hit in result.hits if hit.text]

    def _count(self, texts: Sequence[str]) -> int:
        """Tokens as the default embedding model counts them; words where there is no model."""
        if self._models.default is None:
            return sum(len(text.split()) for text in texts)
        return sum(self._models.embedder().tokenizer.count(texts))


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
