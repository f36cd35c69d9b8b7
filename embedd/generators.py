"""Generators: a prompt with numbered passages in, an answer out in pieces.

A generator knows neither where its passages come from nor who reads the answer. It marks what it takes from
passage ``n`` with ``[n]`` (counting from 1) and says in ``Delta.quotes`` which words it quotes.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from embedd.errors import InvalidInput
from embedd.extractive import EmbedTexts, Quote, extract
from embedd.sentences import split_sentences

NOTHING_FOUND = "I found nothing in these documents that answers this question."


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked: the conversation, oldest turn first, and the passages to answer from, best first."""

    turns: tuple[Turn, ...]
    passages: tuple[str, ...] | None = None

    @property
    def question(self) -> str:
        """The last thing the user said.

        Raises:
            InvalidInput: no turn of the user has any text.
        """
        for turn in reversed(self.turns):
            if turn.role == "user" and turn.content.strip():
                return turn.content.strip()
        raise InvalidInput("the conversation has no question: add a message of role 'user' with text")


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of an answer and the quotes it rests on."""

    text: str
    quotes: tuple[Quote, ...] = ()


class Generator(Protocol):
    """Anything that answers a prompt piece by piece."""

    def generate(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """Yields the answer; closing the iterator stops the work.

        Raises:
            InvalidInput: this generator cannot answer such a prompt.
        """
        ...


class ExtractiveGenerator:
    """Answers with the best sentences of the passages, word for word; needs no weights of its own."""

    def __init__(self, embed: EmbedTexts) -> None:
        self._embed = embed

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        if prompt.passages is None:
            raise InvalidInput(
                "the generator 'extractive' quotes documents and needs a collection: "
                "send `retrieval` or name the model 'extractive@<collection>'"
            )
        quotes = await extract(prompt.question, prompt.passages, self._embed)
        if not quotes:
            yield Delta(NOTHING_FOUND)
        for position, quote in enumerate(quotes):
            yield Delta(_cite(quote, prompt.passages, first=position == 0), (quote,))


class FakeGenerator:
    """Repeats the question word by word: for tests and for trying clients, never for answers."""

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        yield Delta("fake:")
        for word in prompt.question.split():
            yield Delta(f" {word}")
        quote = _first_sentence(prompt.passages or ())
        if quote is not None:
            yield Delta(_cite(quote, prompt.passages or (), first=False), (quote,))


def _cite(quote: Quote, passages: Sequence[str], *, first: bool) -> str:
    sentence = " ".join(passages[quote.passage][quote.start : quote.end].split())
    return f"{'' if first else ' '}{sentence} [{quote.passage + 1}]"


def _first_sentence(passages: Sequence[str]) -> Quote | None:
    for number, passage in enumerate(passages):
        for start, end in split_sentences(passage)[:1]:
            return Quote(number, start, end, 1.0)
    return None
