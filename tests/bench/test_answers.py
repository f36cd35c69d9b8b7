"""What an answer is worth, and where to draw the line between questions."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.answers import (
    AnsweredQuestion,
    Told,
    balanced_accuracy,
    best_threshold,
    chosen_articles,
    false_sources,
    read_questions,
    scores_of_answer,
)

QUESTION = AnsweredQuestion("When did it begin?", "oil-000", ("October 1973", "1973"))
SOURCE = {"index": 2, "document_id": "oil-000", "quote": "It began in 1973.", "start": 5, "end": 22}
TEXTS = {"oil-000": "Oil. It began in 1973."}


def said(content: str, *sources: dict[str, Any], abstained: bool = False) -> Told:
    grounding = {"evidence": 0.7, "threshold": 0.2, "abstained": abstained}
    choices = [{"message": {"content": content}}]
    return Told.read({"choices": choices, "sources": list(sources), "grounding": grounding})


def test_an_answer_holds_a_gold_answer_and_cites_its_passage() -> None:
    right = scores_of_answer(QUESTION, said("It began in 1973. [2]", SOURCE))
    assert right == {"answered": 1.0, "cited": 1.0, "refused": 0.0, "sentences": 1.0}
    wrong = scores_of_answer(QUESTION, said("I found nothing.", abstained=True))
    assert wrong == {"answered": 0.0, "cited": 0.0, "refused": 1.0, "sentences": 0.0}


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ({}, "It began in 1973. [2]"),
        ({"start": 4}, "[2]"),
        ({"document_id": "x"}, "[2]"),
        ({"index": 3}, "[2]"),
    ],
)
def test_a_source_is_false_if_it_does_not_stand_there_or_is_not_cited(change: Any, content: str) -> None:
    assert false_sources(said(content, SOURCE | change), TEXTS) == (1 if change else 0)


def test_questions_of_one_language_are_read(tmp_path: Path) -> None:
    rows = [
        {"text": "Wann?", "passage_id": "de-oil-000", "answers": ["1973"], "lang": "de"},
        {"text": "When?", "passage_id": "en-oil-000", "answers": [], "lang": "en"},
    ]
    path = tmp_path / "questions.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert read_questions(path, "de") == [AnsweredQuestion("Wann?", "de-oil-000", ("1973",))]


def test_halves_are_whole_articles() -> None:
    questions = [AnsweredQuestion("?", f"{name}-{n:03}", ()) for name in ("C", "A-b", "B") for n in range(3)]
    assert chosen_articles(questions) == {"A-b", "C"}


def test_the_best_threshold_parts_what_can_be_parted() -> None:
    answerable, others = [0.4, 0.8, 0.9], [0.1, 0.3, 0.5]
    at = best_threshold(answerable, others)
    assert 0.3 < at <= 0.4
    assert balanced_accuracy(answerable, others, at) == pytest.approx(5 / 6)
    assert balanced_accuracy(answerable, others, 0.0) == 0.5
