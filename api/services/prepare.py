"""A parsed text becomes a document to write: cut into passages that its model can take, then embedded.

Bulk work. Passages whose vectors the collection has already, of this document or of any other, get those:
only what is new is embedded. Knows neither where the text comes from nor what becomes of the document.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from api.services.chunk import Chunk, chunk
from api.services.incoming import Outcome
from api.services.parse import Parsed
from api.services.passage_vectors import embed_passages, passage_digest, passage_prompt
from embedd.embedder import Embedder
from embedd.errors import InvalidInput
from index.rows import Document, Passage, PassageVectors
from index.store import Store


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

    def named_texts(self, embedder: Embedder) -> list[tuple[str, str]]:
        """What is embedded for each chunk, behind a name for it."""
        return [(passage_digest(embedder, text), text) for text in self.texts]


async def prepare(
    embedder: Embedder, document: Document, parsed: Parsed, chunk_tokens: int | None
) -> Prepared:
    """Cut what was parsed of ``document`` for this model, into chunks of ``chunk_tokens`` at most."""

    def cut() -> list[Chunk]:
        prompt = sum(embedder.tokenizer.count([passage_prompt(embedder)]))
        room = embedder.card.max_tokens - prompt
        return chunk(
            parsed, embedder.tokenizer, max_tokens=room, title=document.title, target_tokens=chunk_tokens
        )

    return Prepared(document, parsed.text, tuple(await asyncio.to_thread(cut)))


async def embed_documents(
    embedder: Embedder,
    prepared: Sequence[Prepared],
    store: Store,
    told: Callable[[int], None] = lambda _: None,
) -> list[Document | Outcome]:
    """The documents with their vectors, as ``store`` keeps them; if the model refuses a text, each alone, and
    that one fails. ``told`` hears how many passages more have theirs.
    """
    named = await asyncio.to_thread(lambda: [one.named_texts(embedder) for one in prepared])
    try:
        vectors = await _vectors_of(embedder, dict(chain(*named)), store, told)
    except InvalidInput as refusal:
        if len(prepared) == 1:
            return [Outcome(prepared[0].document.id, "failed", error=f"cannot be embedded: {refusal}")]
        return [result for one in prepared for result in await embed_documents(embedder, [one], store, told)]
    return [
        _with_passages(one, [digest for digest, _ in own], vectors)
        for one, own in zip(prepared, named, strict=True)
    ]


async def _vectors_of(
    embedder: Embedder, texts: Mapping[str, str], store: Store, told: Callable[[int], None]
) -> Mapping[str, PassageVectors]:
    """By digest: those that the collection has, and what the model makes of the others."""
    with_tokens = store.settings.token_vectors is not None
    stored = await store.vectors_by_digest(list(texts)) if texts else {}
    vectors = {
        digest: one for digest, one in stored.items() if not with_tokens or one.token_vectors is not None
    }
    told(len(vectors))
    new = {digest: text for digest, text in texts.items() if digest not in vectors}
    made = await embed_passages(embedder, list(new.values()), with_tokens=with_tokens, told=told)
    return vectors | dict(zip(new, made, strict=True))


def _with_passages(one: Prepared, digests: Sequence[str], vectors: Mapping[str, PassageVectors]) -> Document:
    passages = tuple(
        Passage(
            text=one.text[piece.start : piece.end],
            start=piece.start,
            end=piece.end,
            vector=vectors[digest].vector,
            page=piece.page,
            heading=piece.heading,
            tokens=vectors[digest].tokens,
            token_vectors=vectors[digest].token_vectors,
            digest=digest,
        )
        for piece, digest in zip(one.chunks, digests, strict=True)
    )
    return replace(one.document, passages=passages)
