"""Late interaction, the model's half: the vectors of a query's and of passages' own tokens.

A text and its tokens come out of one forward pass. Special tokens and the prompt are read by the model and
are not compared: they are no part of what anybody wrote. Knows no collection and computes no score.

Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
BERT", SIGIR 2020; here with a model that was never trained for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from embedd.embedder import Embedder, Embeddings, Lane
from embedd.encoding import Token
from embedd.token_vectors import TokenVectors, normalise
from embedd.tokenizer import TextTokenizer, Truncate

_CHARACTERS_PER_TOKEN = 8
"""So much of a long query is read for its words, and the tokens beyond are left out: prose has 4 to 6."""

WORD = re.compile(r"[^\W_]+")
"""What counts as a word of a query, and so wherever its words are looked for."""


@dataclass(frozen=True, slots=True)
class LateQuery:
    """A query and its own tokens: ``vectors`` (t, token_dim) of length 1, in order, t may be 0.

    ``words`` has for each token the word that it is of, in lower case; None for signs.
    """

    embedded: Embeddings
    vectors: npt.NDArray[np.float32]
    words: tuple[str | None, ...]

    @property
    def vector(self) -> npt.NDArray[np.float32]:
        """The vector (dim,) of the whole query."""
        row: npt.NDArray[np.float32] = self.embedded.vectors[0]
        return row


async def query(
    embedder: Embedder,
    text: str,
    *,
    lane: Lane = Lane.INTERACTIVE,
    prompt: str = "",
    truncate: Truncate = "end",
    deadline_s: float | None = None,
) -> LateQuery:
    """``text`` with its tokens; raises what ``Embedder.embed`` does."""
    embedded = await embedder.embed(
        [text],
        lane=lane,
        prompt=prompt,
        truncate=truncate,
        deadline_s=deadline_s,
        token_dtype="float32",  # noqa: S106 - no password
    )
    assert embedded.token_vectors is not None, "they were asked for"
    vectors = embedded.token_vectors.without(*_specials(embedder.tokenizer))[0]
    shown = prompt + _beginning_or_end(text, _CHARACTERS_PER_TOKEN * embedder.card.max_tokens, truncate)
    tokens = embedder.tokenizer.details(shown, special=False)
    known = min(len(tokens), len(vectors))
    if truncate == "start":
        tokens, vectors = tokens[len(tokens) - known :], vectors[len(vectors) - known :]
    own = [at for at, token in enumerate(tokens[:known]) if (token.start or 0) >= len(prompt)]
    return LateQuery(embedded, normalise(vectors[own]), _words(shown, [tokens[at] for at in own]))


async def passages(
    embedder: Embedder,
    texts: Sequence[str],
    *,
    lane: Lane = Lane.INTERACTIVE,
    prompt: str = "",
    truncate: Truncate = "end",
    deadline_s: float | None = None,
) -> tuple[Embeddings, TokenVectors]:
    """``texts`` (at least one), and the int8 vectors of their own tokens, whose directions alone count.

    Raises what ``Embedder.embed`` does.
    """
    embedded = await embedder.embed(
        texts,
        lane=lane,
        prompt=prompt,
        truncate=truncate,
        deadline_s=deadline_s,
        token_dtype="int8",  # noqa: S106 - no password
    )
    assert embedded.token_vectors is not None, "they were asked for"
    head, tail = _specials(embedder.tokenizer)
    prompted = len(embedder.tokenizer.details(prompt, special=False)) if prompt else 0
    return embedded, embedded.token_vectors.without(head + prompted, tail)


def _specials(tokenizer: TextTokenizer) -> tuple[int, int]:
    """How many special tokens stand in front of a text and behind it."""
    tokens = tokenizer.details("a")
    head = len(list(takewhile(lambda token: token.special, tokens)))
    return head, tokenizer.special_tokens - head


def _beginning_or_end(text: str, length: int, truncate: Truncate) -> str:
    return text[-length:] if truncate == "start" else text[:length]


def _words(text: str, tokens: Sequence[Token]) -> tuple[str | None, ...]:
    """The first word that each token has a part of."""
    word_at: list[str | None] = [None] * len(text)
    for word in WORD.finditer(text):
        word_at[word.start() : word.end()] = [word.group().lower()] * len(word.group())
    return tuple(next(filter(None, word_at[token.start : token.stop]), None) for token in tokens)
