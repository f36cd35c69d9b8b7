"""How well does search find what answers a question?

SQuAD, Cranfield and NPL go into a real service through HTTP, every question is asked in each mode, and the
passages that come back are read as a ranking of documents (each where its best passage is). Reported: hit@1,
hit@5, MRR@10 and nDCG@10, means over the questions.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.client import Client, open_client
from harness.corpora import SEED, Corpus, Question, load_cranfield, load_npl, load_squad, sample
from harness.load import run_clients
from harness.metrics import distinct_documents, mean_scores, scores_of
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service

MODES = ("dense", "lexical", "hybrid")
DEPTH = 10
CLIENTS = 8
# Enough passages for ten documents nearly always; where not, the search is asked for more.
FIRST_K = 50
LARGEST_K = 10_000
LOADERS: tuple[Callable[[Path], Corpus], ...] = (load_squad, load_cranfield, load_npl)
# Of --quick, by corpus: questions and documents.
SAMPLES = {"squad": (150, 250), "cranfield": (25, 250), "npl": (15, 500)}


async def ranked_documents(client: Client, collection: str, question: Question, mode: str) -> list[str]:
    """At least ``DEPTH`` documents, best first, or all that the search finds."""
    k = FIRST_K
    while True:
        hits = await client.search(collection, query=question.text, mode=mode, k=k, include=[])
        ranking = distinct_documents([hit["document_id"] for hit in hits], question.left_out)
        if len(ranking) >= DEPTH or len(hits) < k or k == LARGEST_K:
            return ranking
        k = min(2 * k, LARGEST_K)


async def scores_in_mode(client: Client, corpus: Corpus, mode: str) -> dict[str, float]:
    """The mean scores of all questions of ``corpus``."""

    async def score(number: int) -> dict[str, float]:
        question = corpus.questions[number]
        return scores_of(await ranked_documents(client, corpus.name, question, mode), question.gains)

    return mean_scores(await run_clients(score, clients=CLIENTS, requests=len(corpus.questions)))


async def evaluate(client: Client, corpus: Corpus) -> dict[str, Any]:
    """Stores the corpus in a collection of its name and asks all its questions in each mode."""
    await client.create_collection(corpus.name)
    reports = await client.add_documents(corpus.name, corpus.documents)
    counts = {
        "documents": len(corpus.documents),
        "passages": sum(report["passages"] for report in reports),
        "questions": len(corpus.questions),
    }
    return counts | {mode: await scores_in_mode(client, corpus, mode) for mode in MODES}


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before = machine()
    figures = {}
    async with open_service() as service, open_client(service.url) as client:
        info = await client.info()
        for load in LOADERS:
            corpus = load(options.data)
            if options.quick:
                questions, documents = SAMPLES[corpus.name]
                corpus = sample(corpus, questions=questions, documents=documents)
            figures[corpus.name] = await evaluate(client, corpus)
            print_corpus(corpus.name, figures[corpus.name])
    write(options.out, figures, settings(options, info), before)


def settings(options: Options, info: dict[str, Any]) -> dict[str, Any]:
    """What was asked of which service."""
    return {
        "quick": options.quick,
        "model": MODEL,
        "modes": MODES,
        "depth": DEPTH,
        "clients": CLIENTS,
        "sample": {"seed": SEED, "questions_documents": SAMPLES} if options.quick else None,
        "service": info,
    }


def print_corpus(name: str, figures: dict[str, Any]) -> None:
    """One table per corpus, a row per mode."""
    title = f"{name}: {figures['documents']} documents, {figures['passages']} passages, "
    measures = list(figures[MODES[0]])
    rows = [[mode, *(f"{figures[mode][measure]:.3f}" for measure in measures)] for mode in MODES]
    print_table(title + f"{figures['questions']} questions", ["mode", *measures], rows)


if __name__ == "__main__":
    asyncio.run(run(parse_options("retrieval_quality", "Retrieval quality through HTTP.")))
