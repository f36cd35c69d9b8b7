"""The texts of passages become what is searched: vectors, and those of their tokens where they are kept.

Bulk work: slice by slice, patiently. What was taken in waits its turn; only new requests are turned away.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedd import late
from embedd.embedder import Embedder, Lane
from embedd.errors import Overloaded
from index.late import pack

SLICE_PASSAGES = 64
"""Passages handed to the model at once, so that no document is too large for its admission."""


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """What the model makes of one passage: its vector (dim,), how many tokens it has, and these, packed."""

    vector: npt.NDArray[np.float32]
    tokens: int
    token_vectors: bytes | None = None


async def embed_passages(
    embedder: Embedder, texts: Sequence[str], *, with_tokens: bool
) -> list[PassageVectors]:
    """One for each text, in order.

    Raises:
        InvalidInput: the model refuses a text.
        EmbeddError: the model is away.
    """
    embed = _with_tokens if with_tokens else _without_tokens
    made: list[PassageVectors] = []
    for first in range(0, len(texts), SLICE_PASSAGES):
        while True:
            try:
                made += await embed(embedder, texts[first : first + SLICE_PASSAGES])
                break
            except Overloaded as overload:
                await asyncio.sleep(overload.retry_after_s)
    return made


def passage_prompt(embedder: Embedder) -> str:
    """What this model wants in front of every text that is searched for."""
    return embedder.card.prompts.get("document", "")


async def _without_tokens(embedder: Embedder, texts: Sequence[str]) -> list[PassageVectors]:
    embedded = await embedder.embed(texts, lane=Lane.BULK, prompt=passage_prompt(embedder))
    return [PassageVectors(*row) for row in zip(embedded.vectors, embedded.tokens, strict=True)]


async def _with_tokens(embedder: Embedder, texts: Sequence[str]) -> list[PassageVectors]:
    """From the same forward pass; packed at once, since they are four times as large before."""
    embedded, tokens = await late.passages(embedder, texts, lane=Lane.BULK, prompt=passage_prompt(embedder))
    packed = await asyncio.to_thread(lambda: [pack(tokens[number]) for number in range(len(tokens))])
    return [PassageVectors(*row) for row in zip(embedded.vectors, embedded.tokens, packed, strict=True)]
