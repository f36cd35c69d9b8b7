"""Generators: a prompt in, an answer out in pieces.

A generator knows neither where its passages come from nor who reads the answer. It marks what it takes from
passage ``n`` with ``[n]`` (counting from 1) and says in ``Delta.quotes`` which words it quotes. Here are the
border and the generators without weights; ``embedd.generation`` runs models, ``embedd.upstream`` asks others.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from embedd.conversation import Continuation, Prompt, ToolCall, Tools
from embedd.errors import InvalidInput
from embedd.extractive import Quote
from embedd.sampling import ResponseFormat, Sampling
from embedd.sentences import split_sentences

NOTHING_FOUND = "I found nothing in these documents that answers this question."

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How the answer should be; whatever is left out is the generator's to choose.

    ``n`` choices of at most ``max_tokens`` each, ended by any of the ``stop`` strings, which is not part of
    the answer. ``logprobs``: None for none, 0 for those of the tokens chosen, k for the k best ones as well.
    """

    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: Tools = field(default_factory=Tools)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token as text and as bytes, which may be a part of a character, and its natural log probability."""

    text: str
    bytes: bytes
    logprob: float
    best: tuple["TokenLogprob", ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """The next piece of call ``index``: first its ``id`` and ``name``, then more ``arguments``."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


def joined_call(pieces: Sequence[ToolCallPiece]) -> ToolCall:
    """The call whose pieces these are, in their order."""
    return ToolCall(
        next((piece.id for piece in pieces if piece.id is not None), ""),
        next((piece.name for piece in pieces if piece.name is not None), ""),
        "".join(piece.arguments for piece in pieces),
    )


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of choice ``choice``, and the quotes it rests on; the last one has a reason."""

    text: str = ""
    quotes: tuple[Quote, ...] = ()
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCallPiece, ...] = ()
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took, in tokens of the model, all choices together.

    ``cached_tokens`` of the prompt were not computed again; ``accepted_tokens`` of the answer were guessed
    ahead and right, ``rejected_tokens`` were guessed in vain and are part of nothing.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    accepted_tokens: int = 0
    rejected_tokens: int = 0


class Generator(Protocol):
    """Anything that answers a prompt piece by piece."""

    def generate(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        """Yields the answer, at the end what it took if tokens are counted here; closing the iterator stops
        the work. What is refused is refused before the first event, which may say nothing yet.

        Raises:
            InvalidInput: this generator cannot answer such a prompt.
            Overloaded: too much is waiting.
            ModelUnavailable: there is nobody to answer, or they were lost on the way.
        """
        ...


class ExtractiveGenerator:
    """Answers with the sentences that were found, word for word and as they follow each other there; needs no
    weights. Settings that are about tokens mean nothing to it.
    """

    async def generate(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        if isinstance(prompt, Continuation):
            raise InvalidInput("the generator 'extractive' quotes documents: ask it in a chat")
        if prompt.passages is None:
            raise InvalidInput(
                "the generator 'extractive' quotes documents and needs a collection: "
                "send `retrieval` or name the model 'extractive@<collection>'"
            )
        _refuse_forced(settings, "extractive")
        quotes = sorted(prompt.quotes, key=lambda quote: (quote.passage, quote.start))
        if not quotes:
            yield Delta(NOTHING_FOUND)
        for position, quote in enumerate(quotes):
            yield Delta(_cite(quote, prompt.passages, first=position == 0), (quote,))
        yield Delta(finish_reason="stop")


class FakeGenerator:
    """Repeats the question word by word: for tests and for trying clients, never for answers."""

    async def generate(
        self, prompt: Prompt | Continuation, settings: GenerationSettings
    ) -> AsyncGenerator[Delta | Usage, None]:
        _refuse_forced(settings, "fake")
        passages = () if isinstance(prompt, Continuation) else prompt.passages or ()
        yield Delta("fake:")
        for word in _asked(prompt).split():
            yield Delta(f" {word}")
        quote = _first_sentence(passages)
        if quote is not None:
            yield Delta(_cite(quote, passages, first=False), (quote,))
        yield Delta(finish_reason="stop")


def _refuse_forced(settings: GenerationSettings, name: str) -> None:
    """What would be no answer if it were ignored."""
    if settings.n > 1:
        raise InvalidInput(f"the generator {name!r} always answers the same: `n` must be 1")
    if settings.tools.forced:
        raise InvalidInput(f"the generator {name!r} calls no tools: `tool_choice` must be auto or none")
    if settings.response_format is not None:
        raise InvalidInput(f"the generator {name!r} writes text: `response_format` must be of type text")


def _asked(prompt: Prompt | Continuation) -> str:
    if isinstance(prompt, Prompt):
        return prompt.question
    if isinstance(prompt.text, str):
        return prompt.text
    raise InvalidInput("the generator 'fake' has no tokens: `prompt` must be text")


def _cite(quote: Quote, passages: Sequence[str], *, first: bool) -> str:
    sentence = " ".join(passages[quote.passage][quote.start : quote.end].split())
    return f"{'' if first else ' '}{sentence} [{quote.passage + 1}]"


def _first_sentence(passages: Sequence[str]) -> Quote | None:
    for number, passage in enumerate(passages):
        for start, end in split_sentences(passage)[:1]:
            return Quote(number, start, end, 1.0)
    return None
