"""A parsed text becomes a document to write: cut into passages that its model can take, then embedded.

Bulk work. Knows neither where the text comes from nor where the document goes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from api.services.chunk import Chunk, chunk
from api.services.incoming import Outcome
from api.services.parse import Parsed
from api.services.passage_vectors import PassageVectors, embed_passages, passage_prompt
from embedd.embedder import Embedder
from embedd.errors import InvalidInput
from index.rows import Document, Passage


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that was cut and waits for its vectors; it has no passages yet."""

    document: Document
    text: str
    chunks: tuple[Chunk, ...]

    @property
    def texts(self) -> list[str]:
        """What is embedded for each chunk: its surroundings, then its text."""
        return [piece.embedded_text(self.text) for piece in self.chunks]


async def prepare(
    embedder: Embedder, document: Document, parsed: Parsed, chunk_tokens: int | None
) -> Prepared:
    """Cut what was parsed of ``document`` for this model, into chunks of ``chunk_tokens`` at most."""
    room = embedder.card.max_tokens - sum(embedder.tokenizer.count([passage_prompt(embedder)]))
    chunks = await asyncio.to_thread(
        chunk,
        parsed,
        embedder.tokenizer,
        max_tokens=room,
        title=document.title,
        target_tokens=chunk_tokens,
    )
    return Prepared(document, parsed.text, tuple(chunks))


async def embed_documents(
    embedder: Embedder, prepared: Sequence[Prepared], *, with_tokens: bool
) -> list[Document | Outcome]:
    """The documents with their vectors; if the model refuses a text, each alone, and that one fails."""
    texts = [text for one in prepared for text in one.texts]
    try:
        vectors = iter(await embed_passages(embedder, texts, with_tokens=with_tokens))
    except InvalidInput as refusal:
        if len(prepared) == 1:
            return [Outcome(prepared[0].document.id, "failed", error=f"cannot be embedded: {refusal}")]
        alone = [await embed_documents(embedder, [one], with_tokens=with_tokens) for one in prepared]
        return [result for results in alone for result in results]
    return [_with_passages(one, list(islice(vectors, len(one.chunks)))) for one in prepared]


def _with_passages(one: Prepared, vectors: Sequence[PassageVectors]) -> Document:
    passages = tuple(
        Passage(
            text=one.text[piece.start : piece.end],
            start=piece.start,
            end=piece.end,
            vector=made.vector,
            page=piece.page,
            heading=piece.heading,
            tokens=made.tokens,
            token_vectors=made.token_vectors,
        )
        for piece, made in zip(one.chunks, vectors, strict=True)
    )
    return replace(one.document, passages=passages)
