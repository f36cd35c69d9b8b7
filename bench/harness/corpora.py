"""The retrieval data sets, read from their files into one shape.

A document is title and text; a question knows the gain of each document that answers it. What is not here:
how a ranking is made or scored.
"""

import csv
import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One document as it is posted; ``title`` may be empty, ``text`` is not."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """``gains``: document id to gain, above 0; ``left_out``: documents dropped from a ranking first."""

    text: str
    gains: dict[str, float]
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents and questions in the order of their files."""

    name: str
    documents: tuple[SourceDocument, ...]
    questions: tuple[Question, ...]


def load_squad(data: Path) -> Corpus:
    """SQuAD: the answerable questions, each answered by exactly one passage."""
    rows = read_jsonl(data / "squad" / "questions.jsonl.gz")
    questions = [Question(row["text"], {row["passage_id"]: 1.0}) for row in rows if row["answerable"]]
    return Corpus("squad", read_documents(data / "squad" / "passages.jsonl"), tuple(questions))


def load_cranfield(data: Path) -> Corpus:
    """Cranfield: graded; the paper that a question was written from is left out of its ranking."""
    return load_beir("cranfield", data / "retrieval" / "cranfield")


def load_npl(data: Path) -> Corpus:
    """NPL (Vaswani): short abstracts, binary judgements."""
    return load_beir("npl", data / "retrieval" / "npl")


def load_xquad(data: Path) -> dict[str, Corpus]:
    """XQuAD: the same questions and passages in twelve languages, by language."""
    folder = data / "xquad"
    questions: dict[str, list[Question]] = {}
    for row in read_jsonl(folder / "questions.jsonl.gz"):
        question = Question(row["text"], {row["passage_id"]: 1.0})
        questions.setdefault(row["lang"], []).append(question)
    documents: dict[str, list[SourceDocument]] = {}
    for row in read_jsonl(folder / "passages.jsonl.gz"):
        documents.setdefault(row["lang"], []).append(SourceDocument(row["_id"], row["title"], row["text"]))
    return {
        language: Corpus(f"xquad-{language}", tuple(documents[language]), tuple(questions[language]))
        for language in sorted(questions)
    }


def load_beir(name: str, folder: Path) -> Corpus:
    """A folder in BEIR's layout: corpus.jsonl.gz, queries.jsonl, qrels.tsv and maybe source_docs.tsv."""
    gains: dict[str, dict[str, float]] = {}
    for row in read_tsv(folder / "qrels.tsv"):
        gains.setdefault(row["query-id"], {})[row["corpus-id"]] = float(row["score"])
    sources: dict[str, set[str]] = {}
    if (folder / "source_docs.tsv").exists():
        for row in read_tsv(folder / "source_docs.tsv"):
            sources.setdefault(row["query-id"], set()).add(row["corpus-id"])
    questions = [
        Question(row["text"], gains[row["_id"]], frozenset(sources.get(row["_id"], ())))
        for row in read_jsonl(folder / "queries.jsonl")
        if row["_id"] in gains
    ]
    return Corpus(name, read_documents(folder / "corpus.jsonl.gz"), tuple(questions))


def sample(corpus: Corpus, *, questions: int, documents: int) -> Corpus:
    """A smaller corpus, the same each time: questions drawn by a fixed seed, all documents judged for them,
    and others drawn up to ``documents``. Its figures compare only with those of the same sample.
    """
    random_source = random.Random(SEED)
    asked = random_source.sample(corpus.questions, min(questions, len(corpus.questions)))
    judged = {id for question in asked for id in question.gains}
    others = [document.id for document in corpus.documents if document.id not in judged]
    missing = max(0, min(documents - len(judged), len(others)))
    kept = judged | set(random_source.sample(others, missing))
    chosen = tuple(document for document in corpus.documents if document.id in kept)
    return replace(corpus, documents=chosen, questions=tuple(asked))


def read_documents(path: Path) -> tuple[SourceDocument, ...]:
    """The documents that have a text: Cranfield has two without, which no service can embed."""
    rows = read_jsonl(path)
    return tuple(
        SourceDocument(row["_id"], row.get("title", ""), row["text"]) for row in rows if row["text"].strip()
    )


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines, gzipped or not."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8") as file
    ):
        for line in file:
            yield json.loads(line)


def read_tsv(path: Path) -> list[dict[str, str]]:
    """The rows of a tab-separated file whose first line names its columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
