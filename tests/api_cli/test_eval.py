"""``embedd eval``: a file of questions, a table, and every answer as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_stub import Embedd, Stub, chunk, source

from api.cli.judging import Answered, Question, judge, summarise
from api.schemas_chat import SourceAnswer


def cited(document_id: str, quote: str = "") -> SourceAnswer:
    return SourceAnswer(1, document_id, f"{document_id}#0", "", quote, 0, len(quote))


def figures(*pairs: tuple[Question, Answered]) -> dict[str, tuple[float, int]]:
    summary = summarise([judge(*pair) for pair in pairs], (1, 3))
    return {figure.name: (figure.share, figure.count) for figure in summary.figures}


def test_hits_are_counted_by_the_document_or_by_the_words() -> None:
    found = Answered(candidates=[cited("b", "The Old mill, 1850."), cited("a", "x")])
    assert figures(
        (Question("?", document_id="a"), found),
        (Question("?", document_id="b"), found),
        (Question("?", document_id="c"), found),
        (Question("?", answers=["old Mill"]), found),
        (Question("?"), found),
        (Question("?", document_id="a", answerable=False), found),
    ) | {} == {
        "hit@1": (0.5, 4),
        "hit@3": (0.75, 4),
        "answer contained": (0.0, 1),
        "cited right": (0.0, 4),
        "answered, of the answerable": (0.0, 5),
        "refused, of the unanswerable": (1.0, 1),
        "abstention, balanced accuracy": (0.5, 6),
    }


@pytest.mark.parametrize(
    ("said", "answer", "held"),
    [
        ("It opened in 1850 [1].", "1850", True),
        ("It was the Old Mill. [1, 2]", "an old mill", True),
        ("In 18500.", "1850", False),
        ("At http://127.0.0.1:8080/docs.", "8080", True),
        ("It\u2019s the moon's.", "its moons", True),
        ("Old [1] mill", "old mill", True),
        ("", "mill", False),
        ("a mill", "the", False),
    ],
)
def test_an_answer_is_compared_without_case_punctuation_and_articles(
    said: str, answer: str, held: bool
) -> None:
    assert judge(Question("?", answers=[answer]), Answered(text=said)).contained is held


def test_citations_are_right_if_one_of_them_is() -> None:
    asked = Question("?", document_id="a", answers=["mill"])
    both = Answered(text="mill", cited=[cited("b"), cited("a")])
    other = Answered(text="mill", cited=[cited("b")])
    assert figures((asked, both), (asked, other))["cited right"] == (0.5, 2)


def test_a_question_that_failed_counts_for_nothing_but_itself() -> None:
    summary = summarise([judge(Question("?", document_id="a"), Answered(error="down"))], (1,))
    assert (summary.questions, summary.failed, summary.figures) == (1, 1, [])


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    lines = [
        {"question": "Where is it?", "answers": ["here"], "document_id": "ops.md", "filter": {"a": 1}},
        {"question": "What?", "answerable": False},
    ]
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    return file


def test_a_table_is_printed_and_every_answer_is_written(
    embedd: Embedd, stub: Stub, questions: Path, tmp_path: Path
) -> None:
    stub.answer("It is here [1].", sources=[source(1, "It is here.")])
    stub.chunks.insert(0, chunk("", [source(1, "no", document_id="x"), source(2, "It is here.")]))
    out = tmp_path / "out.json"
    shown = embedd(
        "eval", questions, "-c", "mine", "--k", "4", "--mode", "dense", "--jobs", "1", "--out", out
    )
    assert shown.exit_code == 0, shown.stderr
    rows = {
        line.split("│")[1].strip(): line.split("│")[2].strip()
        for line in shown.stdout.splitlines()
        if "│" in line
    }
    assert (
        rows | {"hit@1": "0.0 %", "hit@3": "100.0 %", "hit@4": "100.0 %", "answer contained": "100.0 %"}
        == rows
    )
    assert rows["refused, of the unanswerable"] == "0.0 %"
    scope = {"collection": "mine", "k": 4, "mode": "dense"}
    assert [body["retrieval"] for body in stub.bodies] == [scope | {"filter": {"a": 1}}, scope]
    report: dict[str, Any] = json.loads(out.read_text())
    assert report["summary"]["questions"] == 2
    assert report["questions"][0]["answered"]["text"] == "It is here [1]."
    assert report["questions"][0]["rank"] == 2


def test_failures_are_told_and_end_with_an_error(embedd: Embedd, questions: Path) -> None:
    shown = embedd("eval", questions)
    assert shown.exit_code == 1
    assert "2 questions failed, the first with: there is nothing to answer from" in shown.stderr


def test_a_line_that_is_no_question_is_named(embedd: Embedd, stub: Stub, tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    for text, says in (
        ('{"question": "x"}\n{"answer": "y"}', "line 2"),
        ('{"question": "x", "anwers": []}', "anwers"),
        ("\xff", "line 1"),
        ("", "has no questions"),
    ):
        file.write_bytes(text.encode("latin-1"))
        shown = embedd("eval", file)
        assert shown.exit_code == 1
        assert says in shown.stderr
    assert stub.requests == []
