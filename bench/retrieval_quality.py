"""How well does search find what answers a question?

SQuAD, Cranfield and NPL go into a real service through HTTP, every question is asked in each way, and the
passages that come back are read as a ranking of documents (each where its best passage is). Reported: hit@1,
hit@5, MRR@10 and nDCG@10, means over the questions. What keeping token vectors in two bits costs is told by
some of the questions asked again in a collection that keeps none: there all candidates are embedded anew.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.client import Client, open_client
from harness.corpora import SEED, Corpus, Question, load_cranfield, load_npl, load_squad, sample
from harness.load import run_clients
from harness.metrics import distinct_documents, mean_scores, scores_of
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service
from harness.targets import Goal, print_goals

WAYS: Mapping[str, Mapping[str, Any]] = {
    "dense": {"mode": "dense"},
    "lexical": {"mode": "lexical"},
    "hybrid": {},
    "hybrid, by ranks": {"fusion": {"method": "rrf"}},
    "late": {"rerank": "late"},
}
# nDCG@10 of a hybrid search with default settings; none may be below its better half.
GOALS = {"squad": 0.905, "cranfield": 0.466, "npl": 0.505}
DEPTH = 10
CLIENTS = 8
# Enough passages for ten documents nearly always; where not, the search is asked for more.
FIRST_K = 30
LARGEST_K = 10_000
LARGEST_K_RERANKED = 100
# Questions that are also asked without kept token vectors, which takes the model about half a second each.
ASKED_TWICE = 100
LOADERS: Mapping[str, Callable[[Path], Corpus]] = {
    "squad": load_squad,
    "cranfield": load_cranfield,
    "npl": load_npl,
}
# Of --quick, by corpus: questions and documents.
SAMPLES = {"squad": (150, 250), "cranfield": (25, 250), "npl": (15, 500)}


async def ranked_documents(
    client: Client, collection: str, question: Question, way: Mapping[str, Any]
) -> list[str]:
    """At least ``DEPTH`` documents, best first, or all that the search finds."""
    k, largest = FIRST_K, LARGEST_K_RERANKED if "rerank" in way else LARGEST_K
    while True:
        hits = await client.search(collection, query=question.text, k=k, include=[], **way)
        ranking = distinct_documents([hit["document_id"] for hit in hits], question.left_out)
        if len(ranking) >= DEPTH or len(hits) < k or k == largest:
            return ranking
        k = min(2 * k, largest)


async def mean_scores_of(
    client: Client, collection: str, corpus: Corpus, way: Mapping[str, Any]
) -> dict[str, float]:
    """The mean scores of all questions of ``corpus``, asked in one way."""

    async def score(number: int) -> dict[str, float]:
        question = corpus.questions[number]
        return scores_of(await ranked_documents(client, collection, question, way), question.gains)

    return mean_scores(await run_clients(score, clients=CLIENTS, requests=len(corpus.questions)))


async def evaluate(client: Client, corpus: Corpus) -> dict[str, Any]:
    """Stores the corpus with token vectors and without, and asks its questions in every way."""
    kept, bare = corpus.name, f"{corpus.name}-bare"
    await client.create_collection(kept, token_vectors="2bit")
    reports = await client.add_documents(kept, corpus.documents)
    counts = {
        "documents": len(corpus.documents),
        "passages": sum(report["passages"] for report in reports),
        "questions": len(corpus.questions),
    }
    ways = {name: await mean_scores_of(client, kept, corpus, way) for name, way in WAYS.items()}
    some = replace(corpus, questions=tuple(random.Random(SEED).sample(corpus.questions, asked_twice(corpus))))
    await client.create_collection(bare)
    await client.add_documents(bare, corpus.documents)
    twice = {
        "questions": len(some.questions),
        "kept": await mean_scores_of(client, kept, some, WAYS["late"]),
        "embedded_now": await mean_scores_of(client, bare, some, WAYS["late"]),
    }
    return counts | {"ways": ways, "asked_twice": twice}


def asked_twice(corpus: Corpus) -> int:
    """How many questions are asked with and without kept token vectors."""
    return min(ASKED_TWICE, len(corpus.questions) // 5)


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before = machine()
    figures: dict[str, Any] = {}
    async with open_service() as service, open_client(service.url) as client:
        info = await client.info()
        for name in options.parts:
            corpus = LOADERS[name](options.data)
            if options.quick:
                questions, documents = SAMPLES[name]
                corpus = sample(corpus, questions=questions, documents=documents)
            figures[name] = await evaluate(client, corpus)
            print_corpus(name, figures[name])
    if not options.quick:
        goals = goals_of(figures)
        print_goals(goals)
        figures["goals"] = [goal.as_figure() for goal in goals]
    write(options.out, figures, settings(options, info), before)


def goals_of(figures: dict[str, Any]) -> list[Goal]:
    """What hybrid search is to reach, of whole corpora."""
    goals = []
    for name, figure in figures.items():
        reached = {way: scores["ndcg@10"] for way, scores in figure["ways"].items()}
        better = max(reached["dense"], reached["lexical"])
        goals.append(Goal(f"{name}: hybrid", reached["hybrid"], "at least", GOALS[name]))
        goals.append(Goal(f"{name}: hybrid, its better half", reached["hybrid"], "at least", better))
    return goals


def settings(options: Options, info: dict[str, Any]) -> dict[str, Any]:
    """What was asked of which service."""
    return {
        "quick": options.quick,
        "model": MODEL,
        "ways": {name: dict(way) for name, way in WAYS.items()},
        "depth": DEPTH,
        "clients": CLIENTS,
        "sample": {"seed": SEED, "questions_documents": SAMPLES} if options.quick else None,
        "service": info,
    }


def print_corpus(name: str, figures: dict[str, Any]) -> None:
    """One table per corpus, a row per way, and two for the questions that were asked twice."""
    title = f"{name}: {figures['documents']} documents, {figures['passages']} passages, "
    twice = figures["asked_twice"]
    rows = figures["ways"] | {
        f"late, {how}, {twice['questions']} questions": twice[key]
        for how, key in (("kept", "kept"), ("embedded now", "embedded_now"))
    }
    measures = list(figures["ways"]["hybrid"])
    cells = [[way, *(f"{scores[measure]:.3f}" for measure in measures)] for way, scores in rows.items()]
    print_table(title + f"{figures['questions']} questions", ["way", *measures], cells)


if __name__ == "__main__":
    asyncio.run(
        run(parse_options("retrieval_quality", "Retrieval quality through HTTP.", parts=tuple(LOADERS)))
    )
