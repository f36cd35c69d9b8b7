"""What was retrieved is judged as evidence: which sentences answer the question, and how likely they do.

The vectors of passages' tokens are those that were kept with them; of the best passages that have none the
texts are embedded again.
"""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from api.services.models import Models
from api.services.passage_vectors import passage_prompt
from api.services.rerank_hits import searched_text
from api.services.retrieve import Grounds
from embedd import late
from embedd.embedder import Embedder
from embedd.extractive import MOST_READ, Asked, Evidence, Passage, judge
from embedd.token_vectors import normalise
from embedd.words import read_words
from index.late import Codes, unpack
from index.rows import Hit


class EvidenceReader:
    """Judges the hits of searches."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def read(self, question: str, grounds: Grounds, most: int) -> Evidence:
        """What the best of the hits, which all have a text, say about ``question``, in ``most`` sentences.

        Raises:
            EmbeddError: the model is away.
        """
        hits = grounds.hits[:MOST_READ]
        if grounds.embedder is None or grounds.asked is None:
            asked, passages = await asyncio.to_thread(read_words, question, [hit.text or "" for hit in hits])
            return await asyncio.to_thread(judge, asked, passages, most)
        codes = await self._codes(grounds.embedder, hits, grounds.asked.vectors.shape[1])
        asked = Asked(grounds.asked.vector, grounds.asked.vectors, grounds.weights)
        return await asyncio.to_thread(_judge, asked, grounds.embedder, hits, codes, most)

    async def _codes(self, embedder: Embedder, hits: Sequence[Hit], dim: int) -> dict[int, Codes]:
        """The token vectors (t, dim) of each hit, by its place."""
        kept = {at: hit.token_vectors for at, hit in enumerate(hits) if hit.token_vectors is not None}
        lacking = [at for at in range(len(hits)) if at not in kept]
        codes = {at: unpack(packed, dim) for at, packed in kept.items()}
        if lacking:
            texts = [searched_text(hits[at]) for at in lacking]
            prompt, deadline_s = passage_prompt(embedder), self._models.deadline_s
            _, tokens = await late.passages(embedder, texts, prompt=prompt, deadline_s=deadline_s)
            codes |= {at: tokens[number] for number, at in enumerate(lacking)}
        return codes


def _judge(
    asked: Asked, embedder: Embedder, hits: Sequence[Hit], codes: Mapping[int, Codes], most: int
) -> Evidence:
    return judge(asked, [_passage(embedder, hit, codes[at]) for at, hit in enumerate(hits)], most)


def _passage(embedder: Embedder, hit: Hit, codes: Codes) -> Passage:
    text = hit.text or ""
    read = searched_text(hit)
    spans = embedder.tokenizer.spans(read) - (len(read) - len(text))
    return Passage(text, normalise(codes.astype(np.float32)), spans.astype(np.int32))
