"""The hits of a search in a better order, by late interaction or by a reranking model.

Late interaction finds the question's tokens among a passage's. It uses the vectors that were kept with the
passage; for a passage that has none it embeds the text again. It sees single words better than what the
passage is about, so half of a final score is what the search found, by vector and by words. A reranking model
was trained to judge alone, and does.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from msgspec import structs

from api.services.chunk import passage_context
from api.services.models import Models
from api.services.passage_vectors import passage_prompt
from embedd import late
from embedd.embedder import Embedder
from index.late import Codes, Scores, max_sim, max_sim_packed
from index.rows import Hit

LATE = "late"
"""The value of ``rerank`` that means late interaction; any other is a reranking model's name."""

LEAST_CANDIDATES = 30
MOST_CANDIDATES = 100
"""How many hits are compared at least, if there are so many, and at most: for whoever waits for them."""

_AT_ONCE = 4
"""Searches that give their texts to a model at once; the others of a batch wait instead of being refused."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A hit and what the reranker said of it, which is nothing if it has no text.

    ``final`` is the score that it is shown with. Hits are sorted by ``order``, the best with the highest.
    """

    hit: Hit
    score: float | None
    final: float
    order: float


class HitReranker:
    """Judges hits; one for all searches of a service."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def by_late_interaction(
        self, embedder: Embedder, question: late.LateQuery, weights: Scores, hits: Sequence[Hit]
    ) -> list[Judged]:
        """``weights`` (t,): of the question's tokens. A hit without text keeps what the search said of it."""
        embedded = await self._embedded(embedder, hits)
        scores = await asyncio.to_thread(_compare, question, weights, hits, embedded)
        judged = []
        for hit, score, searched, compared in zip(
            hits, scores, _searched(hits), _scaled(scores), strict=True
        ):
            final = searched if score is None else (searched + compared) / 2
            judged.append(Judged(hit, score, final, final))
        return judged

    async def by_model(self, name: str, question: str, hits: Sequence[Hit]) -> list[Judged]:
        """Hits without text come last.

        Raises:
            UnknownModel: no such reranking model is configured.
        """
        reranker = self._models.reranker(name)
        readable = [hit for hit in hits if _is_readable(hit)]
        if not readable:
            return [Judged(hit, None, hit.score, hit.score) for hit in hits]
        async with self._turns:
            result = await reranker.rerank(
                question, [searched_text(hit) for hit in readable], deadline_s=self._models.deadline_s
            )
        scores, raw = result.scores.tolist(), result.raw.tolist()
        judged = [Judged(*row) for row in zip(readable, scores, scores, raw, strict=True)]
        others = [hit for hit in hits if not _is_readable(hit)]
        return judged + [Judged(hit, None, min(scores), -math.inf) for hit in others]

    async def _embedded(self, embedder: Embedder, hits: Sequence[Hit]) -> dict[int, Codes]:
        """The token vectors (t, dim) of the hits that were kept without, by their places."""
        lacking = [at for at, hit in enumerate(hits) if hit.token_vectors is None and _is_readable(hit)]
        if not lacking:
            return {}
        async with self._turns:
            _, tokens = await late.passages(
                embedder,
                [searched_text(hits[at]) for at in lacking],
                prompt=passage_prompt(embedder),
                deadline_s=self._models.deadline_s,
            )
        return {at: tokens[number] for number, at in enumerate(lacking)}


def candidates(k: int) -> int:
    """How many hits are compared for the ``k`` best of them."""
    return max(k, LEAST_CANDIDATES)


def best(judged: Sequence[Judged], k: int, min_score: float | None) -> tuple[Hit, ...]:
    """The first ``k`` of those whose reranker's score reaches ``min_score``, with their final scores."""
    ordered = sorted(judged, key=lambda one: -one.order)
    return tuple(_rewritten(one) for one in ordered if _reaches(one.score, min_score))[:k]


def _reaches(score: float | None, least: float | None) -> bool:
    return least is None or (score is not None and score >= least)


def _rewritten(one: Judged) -> Hit:
    scores = one.hit.scores if one.score is None else {**one.hit.scores, "rerank": one.score}
    return structs.replace(one.hit, score=one.final, scores=scores)


def _compare(
    question: late.LateQuery, weights: Scores, hits: Sequence[Hit], embedded: Mapping[int, Codes]
) -> list[float | None]:
    scores: list[float | None] = [None] * len(hits)
    kept = {at: hit.token_vectors for at, hit in enumerate(hits) if hit.token_vectors is not None}
    if kept:
        found = max_sim_packed(question.vectors, weights, list(kept.values()))
        _place(scores, kept, found)
    if embedded:
        offsets = np.cumsum([0, *map(len, embedded.values())], dtype=np.int32)
        found = max_sim(question.vectors, weights, np.concatenate([*embedded.values()]), offsets)
        _place(scores, embedded, found)
    return scores


def _place(scores: list[float | None], places: Iterable[int], found: Scores) -> None:
    for at, score in zip(places, found.tolist(), strict=True):
        scores[at] = score


def _searched(hits: Sequence[Hit]) -> list[float]:
    """What the search said of each hit, from 0 to 1: the mean of its scores, not of ranks, which say less."""
    names = sorted({name for hit in hits for name in hit.scores})
    parts = [_scaled([hit.scores.get(name) for hit in hits]) for name in names]
    return [fmean(part) for part in zip(*parts, strict=True)]


def _scaled(scores: Sequence[float | None]) -> list[float]:
    """From 0 for the worst, and for none, to 1 for the best; all are best if they are equal."""
    known = [score for score in scores if score is not None]
    worst, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    return [0.0 if score is None else (score - worst) / span if span else 1.0 for score in scores]


def _is_readable(hit: Hit) -> bool:
    return bool(hit.text and not hit.text.isspace())


def searched_text(hit: Hit) -> str:
    """What was embedded for a passage: its surroundings, a line break, then its text."""
    context = passage_context(hit.title, hit.heading)
    return f"{context}\n{hit.text}" if context else hit.text or ""
