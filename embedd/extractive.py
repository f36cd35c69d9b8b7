"""Judges how well the sentences of given passages answer a question, and how likely any of them does.

All of it rests on late interaction: how close the tokens of a question come to those of a sentence, as the
model reads them inside their passage, so that a sentence with "it" is found by what "it" is. Where the tokens
of passages were kept, nothing but the question is embedded for that. Knows neither where passages come from
nor which model makes the vectors. Runs on one core.

Two small models were fitted with all-MiniLM-L6-v2 on every other article of SQuAD's dev part: which sentence
answers (softmax over the sentences of five passages), and whether one does (logistic, answerable questions
against adversarial ones and every other query of Cranfield and NPL). How they do on the rest, and what gained
nothing, is in bench/NOTES.md. Models whose cosines are bunched need another threshold.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedd.quotable import Sentence, Span, quotable

Vectors = npt.NDArray[np.float32]

MOST_QUOTES = 3
MOST_READ = 8
"""Passages in which sentences are looked for: on SQuAD, more than five gain nothing."""

DEFAULT_THRESHOLD = 0.12
"""Where it was chosen, 1 % of the questions that have an answer are below it."""

_AMONG_NEIGHBOURS = 14.0
_WITH_CONTEXT = 16.0
_OF_PASSAGE = 9.0
_FIRST_PASSAGE = 0.7
_WORTH_QUOTING = 5.0
"""Behind the best sentence by more, one adds noise: less than 1 in 100 times it is the answer."""

_NEW_PASSAGE = 1.0
"""A sentence counts for so much more where nothing of its passage is quoted yet."""

_EVIDENCE = (2.5, 3.6, 2.7, 3.2)
"""Of found among neighbours, found on average, worst token found, and the cosine of the whole."""
_EVIDENCE_AT_0 = -6.5


@dataclass(frozen=True, slots=True)
class Quote:
    """``passages[passage][start:end]``, in code points; a higher ``score`` is closer to the question."""

    passage: int
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: the ``vector`` (dim,) of all, those of its ``tokens`` (t, dim), of length 1, and the
    ``weights`` (t,) of these, 1 together.
    """

    vector: Vectors
    tokens: Vectors
    weights: Vectors


@dataclass(frozen=True, slots=True)
class Passage:
    """A text and the ``tokens`` (n, dim) it was read as, each of length 1, with the ``spans`` (n, 2) that
    they have in it, ascending; below 0 for what was read before it, its title and headings.
    """

    text: str
    tokens: Vectors
    spans: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The sentences to quote, best first, and the ``probability`` that they answer the question."""

    quotes: tuple[Quote, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class _Reached:
    """How well each token of the question (t,) is found in a sentence: alone, with the one before it, with
    title and headings; and anywhere in the passage. ``cosine`` compares all of both.
    """

    sentence: Sentence
    alone: Vectors
    among_neighbours: Vectors
    with_context: Vectors
    in_passage: Vectors
    cosine: float


def judge(asked: Asked, passages: Sequence[Passage], most: int = MOST_QUOTES) -> Evidence:
    """What at most ``most`` sentences of ``passages`` (best first) say about the question."""
    if not len(asked.tokens):
        return Evidence((), 0.0)
    reached = list(_reached(asked, passages[:MOST_READ]))
    if not reached:
        return Evidence((), 0.0)
    scores = np.array([_closeness(one, asked.weights) for one in reached])
    chosen = _chosen(scores, np.array([one.sentence.passage for one in reached]), most)
    quotes = tuple(_quote(reached[at].sentence, scores[at]) for at in chosen)
    return Evidence(quotes, _probability(reached[chosen[0]], asked.weights))


def _chosen(scores: npt.NDArray[np.float64], passages: npt.NDArray[np.int64], most: int) -> list[int]:
    """The places of at most ``most`` sentences, best first, those of passages not quoted yet preferred."""
    chosen = [int(scores.argmax())]
    left = scores.copy()
    for _ in range(most - 1):
        left[chosen[-1]] = -np.inf
        preferred = left + _NEW_PASSAGE * ~np.isin(passages, passages[chosen])
        best = int(preferred.argmax())
        if preferred[best] < scores[chosen[0]] - _WORTH_QUOTING:
            break
        chosen.append(best)
    return chosen


def _reached(asked: Asked, passages: Sequence[Passage]) -> Iterator[_Reached]:
    found = [_similarities(asked, passage) for passage in passages]
    previous: tuple[int, Vectors] | None = None
    for sentence in quotable([passage.text for passage in passages]):
        passage, similarities = passages[sentence.passage], found[sentence.passage]
        own = _tokens_in(passage, (sentence.start, sentence.end))
        if own.start == own.stop:  # behind what the model could take
            continue
        parts = [own, *(_tokens_in(passage, span) for span in sentence.above)]
        alone = np.concatenate([similarities[part] for part in parts]).max(axis=0)
        context = similarities[: np.searchsorted(passage.spans[:, 0], 0)]
        before = previous[1] if previous and previous[0] == sentence.passage else alone
        yield _Reached(
            sentence,
            alone,
            among_neighbours=np.maximum(alone, before),
            with_context=np.maximum(alone, context.max(axis=0, initial=-1.0)),
            in_passage=similarities.max(axis=0),
            cosine=_cosine(passage.tokens[own], asked.vector),
        )
        previous = sentence.passage, alone


def _similarities(asked: Asked, passage: Passage) -> Vectors:
    """(n, t). ``vecdot`` and not ``@``, for which BLAS would wake all cores: see bench/NOTES.md."""
    return np.asarray(np.vecdot(passage.tokens[:, None], asked.tokens), dtype=np.float32)


def _tokens_in(passage: Passage, span: Span) -> slice:
    first, last = np.searchsorted(passage.spans[: len(passage.tokens), 0], span)
    return slice(int(first), int(last))


def _cosine(tokens: Vectors, vector: Vectors) -> float:
    mean = tokens.mean(axis=0)
    length = math.sqrt(float(np.vecdot(mean, mean)) * float(np.vecdot(vector, vector)))
    return float(np.vecdot(mean, vector)) / length if length else 0.0


def _closeness(reached: _Reached, weights: Vectors) -> float:
    return (
        _AMONG_NEIGHBOURS * float(np.vecdot(reached.among_neighbours, weights))
        + _WITH_CONTEXT * float(np.vecdot(reached.with_context, weights))
        + _OF_PASSAGE * float(np.vecdot(reached.in_passage, weights))
        + _FIRST_PASSAGE / (1 + reached.sentence.passage)
    )


def _probability(best: _Reached, weights: Vectors) -> float:
    features = (
        float(np.vecdot(best.among_neighbours, weights)),
        float(best.alone.mean()),
        float(best.alone.min()),
        best.cosine,
    )
    logit = _EVIDENCE_AT_0 + sum(one * weight for one, weight in zip(features, _EVIDENCE, strict=True))
    return 1 / (1 + math.exp(-logit))


def _quote(sentence: Sentence, score: float) -> Quote:
    return Quote(sentence.passage, sentence.start, sentence.end, round(float(score), 4))
