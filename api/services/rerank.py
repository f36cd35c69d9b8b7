"""Texts in the order of their worth for a query: by a reranking model, or by late interaction without one.

Late interaction compares the query's tokens with each text's, one by one, with the embedding model that is
there anyway. Its words weigh by how rare they are among the texts given, since these are all there is to
know of the collection they come from.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from api.services.models import Models
from api.services.passage_vectors import passage_prompt, query_prompt
from embedd import late
from embedd.embedder import Embedder, Embeddings, Lane, StageTimes, Truncated
from embedd.errors import InputRefused, InvalidInput, NotFinite, OutOfMemory, of_input
from embedd.reranker import Reranker, refuse_empty_pairs
from embedd.token_vectors import TokenVectors
from embedd.tokenizer import Truncate
from index.late import max_sim, weigh

_INTERACTIVE_TEXTS = 100
"""What a search brings up for a person who waits; more is bulk work."""

_SLICE = 128
"""Texts whose token vectors are held at once: 25 MB for 512 tokens of 384 numbers each."""

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rank:
    """Text ``index`` and its worth; ``raw`` is the model's own number, before its activation."""

    index: int
    score: float
    raw: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """All texts, best first, equals by their index.

    ``late`` says that late interaction made it: its scores, from -1 to 1, have no other raw form.
    """

    model: str
    ranks: tuple[Rank, ...]
    tokens: int
    truncated: tuple[Truncated, ...]
    times: StageTimes
    device: str
    cut_query: Truncated | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be ranked; ``until`` is on the clock of ``time.monotonic``."""

    query: str
    texts: Sequence[str]
    truncate: Truncate
    until: float | None

    @property
    def lane(self) -> Lane:
        return Lane.INTERACTIVE if len(self.texts) <= _INTERACTIVE_TEXTS else Lane.BULK

    @property
    def seconds_left(self) -> float | None:
        return None if self.until is None else max(0.0, self.until - time.monotonic())


async def rank(
    models: Models, query: str, texts: Sequence[str], *, model: str | None = None, truncate: Truncate = "end"
) -> Ranking:
    """All of ``texts`` by their worth for ``query``.

    A reranking model scores them; an embedding model's name, or no name where no reranking model is
    configured, means late interaction.

    Raises:
        InvalidInput: the query or a text is empty, or too long for ``truncate="none"``.
        UnknownModel: no such model is configured.
        EmbeddError: the model could not answer.
    """
    refuse_empty_pairs(query, texts)
    chosen = models.ranker(model)
    until = None if models.deadline_s is None else time.monotonic() + models.deadline_s
    task = _Task(query, texts, truncate, until)
    if isinstance(chosen, Embedder):
        return await _by_late_interaction(chosen, task)
    return await _by_model(chosen, task)


async def _by_model(reranker: Reranker, task: _Task) -> Ranking:
    scored = await reranker.rerank(
        task.query, task.texts, lane=task.lane, truncate=task.truncate, deadline_s=task.seconds_left
    )
    return Ranking(
        model=reranker.card.name,
        ranks=_ranked(scored.scores, scored.raw),
        tokens=sum(scored.tokens),
        truncated=scored.truncated,
        times=scored.times,
        device=reranker.device,
    )


async def _by_late_interaction(embedder: Embedder, task: _Task) -> Ranking:
    query = await _ask(embedder, task)
    weights = weigh(query.words, await asyncio.to_thread(rarity, query.words, task.texts))
    parts: list[Embeddings] = []
    scores: list[Numbers] = []
    for first in range(0, len(task.texts), _SLICE):
        embedded, tokens = await _read(embedder, task, first)
        parts.append(embedded)
        scores.append(await asyncio.to_thread(max_sim, query.vectors, weights, tokens.values, tokens.offsets))
    together = np.concatenate(scores)
    everything = [query.embedded, *parts]
    return Ranking(
        model=embedder.card.name,
        ranks=_ranked(together, together),
        tokens=sum(sum(one.tokens) for one in everything),
        truncated=tuple(_moved(parts)),
        times=_total(one.times for one in everything),
        device=embedder.device,
        cut_query=next(iter(query.embedded.truncated), None),
        late=True,
    )


async def _ask(embedder: Embedder, task: _Task) -> late.LateQuery:
    query = await late.query(
        embedder,
        task.query,
        lane=task.lane,
        prompt=query_prompt(embedder),
        truncate=_cutting(task.truncate),
        deadline_s=task.seconds_left,
    )
    _refuse_cut("the query", query.embedded.truncated, task, embedder)
    return query


async def _read(embedder: Embedder, task: _Task, first: int) -> tuple[Embeddings, TokenVectors]:
    """The texts from ``first`` on, a slice of them."""
    try:
        embedded, tokens = await late.passages(
            embedder,
            task.texts[first : first + _SLICE],
            lane=task.lane,
            prompt=passage_prompt(embedder),
            truncate=_cutting(task.truncate),
            deadline_s=task.seconds_left,
        )
    except (NotFinite, InputRefused, OutOfMemory) as error:
        raise of_input(error, first + error.index) from error
    if embedded.truncated:
        _refuse_cut(f"input {first + embedded.truncated[0].index}", embedded.truncated, task, embedder)
    return embedded, tokens


def _cutting(truncate: Truncate) -> Truncate:
    """The tokenizer would number a text that is too long within its slice, so it is refused here."""
    return "end" if truncate == "none" else truncate


def _refuse_cut(name: str, truncated: Sequence[Truncated], task: _Task, embedder: Embedder) -> None:
    if truncated and task.truncate == "none":
        number = truncated[0].tokens if truncated[0].exact else f"at least {truncated[0].tokens}"
        raise InvalidInput(f"{name} has {number} tokens, the model takes {embedder.card.max_tokens}")


def rarity(words: Iterable[str | None], texts: Sequence[str]) -> dict[str, float]:
    """How much each of ``words`` tells about which of ``texts`` is meant: from 1 on, more for rare ones.

    The smoothed inverse document frequency of scikit-learn's TfidfTransformer.
    """
    asked = {word for word in words if word is not None}
    found = Counter(word for text in texts for word in asked.intersection(late.WORD.findall(text.lower())))
    return {word: math.log((len(texts) + 1) / (found[word] + 1)) + 1.0 for word in asked}


def _ranked(scores: Numbers, raw: Numbers) -> tuple[Rank, ...]:
    """By the raw scores, since an activation makes large ones equal; equals stay in order."""
    order = np.argsort(-raw, kind="stable")
    rows = zip(order.tolist(), scores[order].tolist(), raw[order].tolist(), strict=True)
    return tuple(Rank(*row) for row in rows)


def _moved(parts: Sequence[Embeddings]) -> Iterable[Truncated]:
    """What was cut of all slices, by its number among all texts."""
    for number, part in enumerate(parts):
        yield from (replace(cut, index=cut.index + number * _SLICE) for cut in part.truncated)


def _total(times: Iterable[StageTimes]) -> StageTimes:
    """Of stages that followed one another."""
    rows = [(one.tokenize_s, one.queue_s, one.forward_s) for one in times]
    return StageTimes(*(sum(stage) for stage in zip(*rows, strict=True)))
