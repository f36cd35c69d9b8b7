"""What makes an answer right: a user's questions held against what the service found, said and cited.

Answers are compared as SQuAD does, without case, punctuation and articles
(https://rajpurkar.github.io/SQuAD-explorer/), but that punctuation parts words: the answer 8080 is in
"127.0.0.1:8080". Knows neither the service nor a terminal.
"""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from api.schemas_chat import SourceAnswer

_CITATION = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_APOSTROPHE = re.compile(r"['\u2018\u2019]")
_PUNCTUATION = re.compile(r"[^\w\s]|_")


class Question(Struct, forbid_unknown_fields=True):
    """One line of the file: a question, and what is known of its answer.

    ``answers`` are texts of which one must be in the answer, ``document_id`` is where it stands, ``filter``
    narrows the search, and ``answerable`` is false where the collection has no answer.
    """

    question: str
    answers: list[str] = []
    document_id: str | None = None
    filter: dict[str, Any] | None = None
    answerable: bool = True

    @property
    def has_answers(self) -> bool:
        """Whether the words of the answer are known."""
        return self.answerable and bool(self.answers)

    @property
    def has_target(self) -> bool:
        """Whether a passage can be told to be the right one."""
        return self.answerable and (self.document_id is not None or bool(self.answers))


@dataclass(frozen=True, slots=True)
class Answered:
    """What the service found (best first), said and cited, and how long that took; or why it failed."""

    candidates: Sequence[SourceAnswer] = ()
    text: str = ""
    cited: Sequence[SourceAnswer] = ()
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one answer did; None where that cannot be said. ``rank`` counts from 1, 0 if nothing was right."""

    question: Question
    answered: Answered
    rank: int | None = None
    contained: bool | None = None
    cited_right: bool | None = None
    abstained: bool | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A share (0 to 1) of ``count`` questions."""

    name: str
    share: float
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table shows."""

    questions: int
    failed: int
    p50_ms: float
    figures: list[Figure] = field(default_factory=list)


def judge(question: Question, answered: Answered) -> Verdict:
    """How the answer to ``question`` did. One without a source is one that was refused."""
    if answered.error is not None:
        return Verdict(question, answered)
    right = [_is_right(question, source) for source in answered.candidates]
    rank = right.index(True) + 1 if True in right else 0
    return Verdict(
        question,
        answered,
        rank=rank if question.has_target else None,
        contained=_contains(answered.text, question.answers) if question.has_answers else None,
        cited_right=_cites(question, answered.cited) if question.has_target else None,
        abstained=not answered.cited,
    )


def summarise(verdicts: Sequence[Verdict], depths: Sequence[int]) -> Summary:
    """The shares of all questions of which each can be said; ``depths`` are the k of hit@k."""
    done = [verdict for verdict in verdicts if verdict.answered.error is None]
    ranks = [verdict.rank for verdict in done if verdict.rank is not None]
    contained = [verdict.contained for verdict in done if verdict.contained is not None]
    cited = [verdict.cited_right for verdict in done if verdict.cited_right is not None]
    kept = [not verdict.abstained for verdict in done if verdict.question.answerable]
    refused = [bool(verdict.abstained) for verdict in done if not verdict.question.answerable]
    figures = [_figure(f"hit@{depth}", (0 < rank <= depth for rank in ranks)) for depth in depths]
    figures += [
        _figure("answer contained", contained),
        _figure("cited right", cited),
        _figure("answered, of the answerable", kept),
        _figure("refused, of the unanswerable", refused),
    ]
    if kept and refused:
        balanced = (statistics.mean(kept) + statistics.mean(refused)) / 2
        figures.append(Figure("abstention, balanced accuracy", balanced, len(kept) + len(refused)))
    times = [verdict.answered.seconds * 1000 for verdict in done]
    return Summary(
        len(verdicts),
        len(verdicts) - len(done),
        statistics.median(times) if times else 0.0,
        [figure for figure in figures if figure.count],
    )


def _figure(name: str, outcomes: Iterable[bool]) -> Figure:
    known = list(outcomes)
    return Figure(name, statistics.mean(known) if known else 0.0, len(known))


def _cites(question: Question, sources: Sequence[SourceAnswer]) -> bool:
    return any(_is_right(question, source) for source in sources)


def _is_right(question: Question, source: SourceAnswer) -> bool:
    """By its document where that is known, else by its words."""
    if question.document_id is not None:
        return source.document_id == question.document_id
    return _contains(source.quote, question.answers)


def _contains(text: str, answers: Sequence[str]) -> bool:
    plain = f" {_plain(text)} "
    return any(f" {wanted} " in plain for wanted in map(_plain, answers) if wanted)


def _plain(text: str) -> str:
    text = _APOSTROPHE.sub("", _CITATION.sub(" ", text).lower())
    return " ".join(_ARTICLES.sub(" ", _PUNCTUATION.sub(" ", text)).split())
