"""Data sets in the layout of their files, small enough to read here."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.corpora import (
    Corpus,
    Question,
    SourceDocument,
    load_cranfield,
    load_npl,
    load_squad,
    load_xquad,
    sample,
)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("cranfield", "npl"):
        folder = tmp_path / "retrieval" / name
        rows = [{"_id": "1", "title": "wings", "text": "lift"}, {"_id": "2", "title": "", "text": "  "}]
        write_jsonl(folder / "corpus.jsonl.gz", rows)
        write_jsonl(folder / "queries.jsonl", [{"_id": "1", "text": "lift?"}, {"_id": "2", "text": "drag?"}])
        (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\t1\t3\n1\t7\t1\n")
    sources = tmp_path / "retrieval" / "cranfield" / "source_docs.tsv"
    sources.write_text("query-id\tcorpus-id\n1\t9\n")
    passages = [{"_id": "p", "title": "Oil", "text": "It began in 1973."}]
    write_jsonl(tmp_path / "squad" / "passages.jsonl", passages)
    questions = [
        {"text": "When?", "passage_id": "p", "answerable": True},
        {"text": "Who?", "passage_id": "p", "answerable": False},
    ]
    write_jsonl(tmp_path / "squad" / "questions.jsonl.gz", questions)
    return tmp_path


def test_xquad_is_a_corpus_for_each_language(tmp_path: Path) -> None:
    for name, extra in (("passages", {"_id": "p", "title": "Oil"}), ("questions", {"passage_id": "p"})):
        rows = [{"lang": language, "text": f"{name} {language}"} | extra for language in ("th", "de")]
        write_jsonl(tmp_path / "xquad" / f"{name}.jsonl.gz", rows)
    corpora = load_xquad(tmp_path)
    assert list(corpora) == ["de", "th"]
    document, question = SourceDocument("p", "Oil", "passages th"), Question("questions th", {"p": 1.0})
    assert corpora["th"] == Corpus("xquad-th", (document,), (question,))


def test_squad_has_its_answerable_questions_each_with_one_passage(data: Path) -> None:
    corpus = load_squad(data)
    assert corpus.documents == (SourceDocument("p", "Oil", "It began in 1973."),)
    assert corpus.questions == (Question("When?", {"p": 1.0}),)


def test_cranfield_keeps_grades_and_leaves_sources_out(data: Path) -> None:
    assert load_cranfield(data).questions == (Question("lift?", {"1": 3.0, "7": 1.0}, frozenset({"9"})),)


def test_documents_without_text_are_not_posted(data: Path) -> None:
    assert [document.id for document in load_cranfield(data).documents] == ["1"]


def test_a_collection_without_source_documents_leaves_none_out(data: Path) -> None:
    assert load_npl(data).questions[0].left_out == frozenset()


def big_corpus() -> Corpus:
    documents = tuple(SourceDocument(str(number), "", "text") for number in range(100))
    questions = tuple(Question(f"question {number}", {str(number): 1.0}) for number in range(50))
    return Corpus("big", documents, questions)


def test_a_sample_is_the_same_each_time() -> None:
    assert sample(big_corpus(), questions=5, documents=20) == sample(big_corpus(), questions=5, documents=20)


def test_a_sample_keeps_every_document_that_its_questions_need() -> None:
    small = sample(big_corpus(), questions=5, documents=20)
    assert len(small.documents) == 20
    assert len(small.questions) == 5
    kept = {document.id for document in small.documents}
    assert all(question.gains.keys() <= kept for question in small.questions)


def test_a_sample_that_is_larger_than_the_corpus_is_the_corpus() -> None:
    whole = sample(big_corpus(), questions=1000, documents=1000)
    assert whole.documents == big_corpus().documents
    assert len(whole.questions) == 50
