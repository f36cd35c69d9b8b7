"""The texts of passages become what is searched: vectors, and those of their tokens where they are kept.

Bulk work: slice by slice, patiently. What was taken in waits its turn; only new requests are turned away.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence

from embedd import late
from embedd.embedder import Embedder, Lane
from embedd.errors import Overloaded
from index.late import pack
from index.rows import PassageVectors

SLICE_PASSAGES = 64
"""Passages handed to the model at once, so that no document is too large for its admission."""


async def embed_passages(
    embedder: Embedder,
    texts: Sequence[str],
    *,
    with_tokens: bool,
    told: Callable[[int], None] = lambda _: None,
) -> list[PassageVectors]:
    """One for each text, in order; ``told`` hears how many more there are.

    Raises:
        InvalidInput: the model refuses a text.
        EmbeddError: the model is away.
    """
    embed = _with_tokens if with_tokens else _without_tokens
    made: list[PassageVectors] = []
    for first in range(0, len(texts), SLICE_PASSAGES):
        while True:
            try:
                slice_ = await embed(embedder, texts[first : first + SLICE_PASSAGES])
                break
            except Overloaded as overload:
                await asyncio.sleep(overload.retry_after_s)
        made += slice_
        told(len(slice_))
    return made


def passage_prompt(embedder: Embedder) -> str:
    """What this model wants in front of every text that is searched for."""
    return embedder.card.prompts.get("document", "")


def query_prompt(embedder: Embedder) -> str:
    """What this model wants in front of a text that others are searched by."""
    return embedder.card.prompts.get("query", "")


def passage_digest(embedder: Embedder, text: str) -> str:
    """A short name for all that decides what this model makes of ``text``, of 120 bits."""
    decisive = (embedder.card.sha256, passage_prompt(embedder), text)
    digest = hashlib.blake2b(digest_size=15)
    for part in decisive:
        digest.update(part.encode() + b"\0")
    return base64.b64encode(digest.digest()).decode()


async def _without_tokens(embedder: Embedder, texts: Sequence[str]) -> list[PassageVectors]:
    embedded = await embedder.embed(texts, lane=Lane.BULK, prompt=passage_prompt(embedder))
    return [PassageVectors(*row) for row in zip(embedded.vectors, embedded.tokens, strict=True)]


async def _with_tokens(embedder: Embedder, texts: Sequence[str]) -> list[PassageVectors]:
    """From the same forward pass; packed at once, since they are four times as large before."""
    embedded, tokens = await late.passages(embedder, texts, lane=Lane.BULK, prompt=passage_prompt(embedder))
    packed = await asyncio.to_thread(lambda: [pack(tokens[number]) for number in range(len(tokens))])
    return [PassageVectors(*row) for row in zip(embedded.vectors, embedded.tokens, packed, strict=True)]
