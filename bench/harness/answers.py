"""Questions with gold answers, and what an answer of the service is worth. Pure, but for reading files.

A question that has no answer in the collection should be refused; one that has is answered if a gold answer
stands in what is said, as it is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.corpora import read_jsonl


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """``answers`` is empty where the passages have none; ``document_id`` is the one it was written for."""

    text: str
    document_id: str
    answers: tuple[str, ...]

    @property
    def article(self) -> str:
        """What tells halves apart: no article is in both."""
        return self.document_id.rsplit("-", 1)[0]


@dataclass(frozen=True, slots=True)
class Told:
    """What the service said: its sources as they came, and the evidence it saw."""

    content: str
    sources: tuple[Mapping[str, Any], ...]
    evidence: float
    threshold: float
    abstained: bool

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> "Told":
        """Out of a body of `/v1/chat/completions`."""
        content = answer["choices"][0]["message"]["content"]
        return cls(content, tuple(answer["sources"]), **answer["grounding"])


def read_questions(path: Path, language: str | None = None) -> list[AnsweredQuestion]:
    """The questions of a file in SQuAD's or XQuAD's layout, of one language if it has several."""
    return [
        AnsweredQuestion(row["text"], row["passage_id"], tuple(row["answers"]))
        for row in read_jsonl(path)
        if row.get("lang") == language
    ]


def chosen_articles(questions: Iterable[AnsweredQuestion]) -> frozenset[str]:
    """Every other article by title: the half that the service's constants were fitted on."""
    return frozenset(sorted({question.article for question in questions})[::2])


def scores_of_answer(question: AnsweredQuestion, told: Told) -> dict[str, float]:
    """Of a question that has an answer: whether it was said, its passage cited, or all of it refused."""
    return {
        "answered": float(any(answer in told.content for answer in question.answers)),
        "cited": float(any(source["document_id"] == question.document_id for source in told.sources)),
        "refused": float(told.abstained),
        "sentences": float(len(told.sources)),
    }


def false_sources(told: Told, texts: Mapping[str, str]) -> int:
    """How many sources do not stand in their document at their offsets, are of none that was stored, or are
    not cited in the text.
    """
    return sum(
        texts.get(source["document_id"], "")[source["start"] : source["end"]] != source["quote"]
        or f"[{source['index']}]" not in told.content
        for source in told.sources
    )


def balanced_accuracy(answerable: Sequence[float], others: Sequence[float], threshold: float) -> float:
    """The mean of the shares that are on their side of ``threshold``: answerable ones at it or above."""
    kept = np.mean(np.asarray(answerable) >= threshold)
    refused = np.mean(np.asarray(others) < threshold)
    return float(kept + refused) / 2


def best_threshold(answerable: Sequence[float], others: Sequence[float]) -> float:
    """The hundredth with the highest balanced accuracy."""
    return max(
        (number / 100 for number in range(101)), key=lambda at: balanced_accuracy(answerable, others, at)
    )
