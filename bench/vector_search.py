"""How fast is a search by vector, through HTTP and without it, and does writing slow it down?

Real embeddings of SQuAD, Cranfield and NPL, made more by perturbing them. Through HTTP: a service of its own,
closed-loop clients, ten hits with text and metadata, idle and while other clients write. In this process: the
same rows in a collection and in hnswlib alone, built alike, asked in batches, in turns.
"""

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hnswlib
import numpy as np

from filtered_search import Matrix, Size, embedded_texts, make_rows
from harness.client import Client, open_client
from harness.load import run_clients, timed
from harness.metrics import percentiles_ms
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service
from harness.targets import Goal, print_goals
from index.catalog import open_catalog
from index.growth import GraphTuning
from index.planner import MIN_EF
from index.rows import CollectionSettings, Document, Passage, Query

K = 10
CLIENTS = (1, 8)
POINTS_PER_REQUEST = 500
# So many vectors a second are written while others search.
WRITTEN_PER_S = 500
BATCH = 32
ROUNDS = 5
SETTLED_S = 600.0
NAME = "rows"


@dataclass(frozen=True, slots=True)
class Effort:
    """Texts that are embedded, rows they are made into, searches for each figure."""

    texts: int
    rows: int
    searches: int


FULL = Effort(texts=14_000, rows=76_000, searches=10_000)
QUICK = Effort(texts=1_000, rows=8_000, searches=1_000)
QUESTIONS = 200


def encoded(vector: Matrix) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


async def add(client: Client, vectors: Matrix, first: int = 0) -> None:
    for start in range(0, len(vectors), POINTS_PER_REQUEST):
        points = [
            {"id": f"p{n}", "vector": encoded(vectors[n - first]), "text": f"text {n}", "metadata": {"n": n}}
            for n in range(first + start, first + min(start + POINTS_PER_REQUEST, len(vectors)))
        ]
        await client.add_points(NAME, points)


async def through_http(vectors: Matrix, questions: Matrix, effort: Effort) -> dict[str, Any]:
    """Recall, searches a second and latencies, idle and beside writers."""
    async with open_service(model="none") as service, open_client(service.url) as client:
        await client.create_collection(NAME, dim=vectors.shape[1])
        started = time.perf_counter()
        await add(client, vectors)
        figures: dict[str, Any] = {"rows_per_s": len(vectors) / (time.perf_counter() - started)}
        await graph_answers(client, questions[0])
        figures["recall"] = await recall(client, vectors, questions)
        for clients in CLIENTS:
            figures[f"{clients} clients"] = await load(client, questions, clients, effort.searches)
        figures["beside writers"] = await beside_writers(client, vectors, questions, effort.searches)
        figures["memory"] = service.memory()
        return figures


async def graph_answers(client: Client, question: Matrix) -> None:
    """Until searches go through the graph at least as fast as they will."""
    async with asyncio.timeout(SETTLED_S):
        fastest = await timed(ask(client, question))
        for _ in range(20):
            await asyncio.sleep(1)
            fastest, before = min(fastest, await timed(ask(client, question))), fastest
            if fastest > 0.9 * before:
                return


async def ask(client: Client, question: Matrix) -> list[dict[str, Any]]:
    return await client.search(NAME, vector=encoded(question), k=K)


async def recall(client: Client, vectors: Matrix, questions: Matrix) -> float:
    expected = nearest(vectors, questions)
    answers = [await ask(client, question) for question in questions]
    found = [
        len({hit["id"] for hit in hits} & {f"p{n}" for n in best})
        for hits, best in zip(answers, expected, strict=True)
    ]
    return sum(found) / (K * len(questions))


def nearest(vectors: Matrix, questions: Matrix) -> list[list[int]]:
    return [np.argsort(-(vectors @ question))[:K].tolist() for question in questions]


async def load(client: Client, questions: Matrix, clients: int, searches: int) -> dict[str, float]:
    started = time.perf_counter()
    times = await run_clients(
        lambda n: timed(ask(client, questions[n % len(questions)])), clients=clients, requests=searches
    )
    return {"per_s": searches / (time.perf_counter() - started)} | percentiles_ms(times)


async def beside_writers(
    client: Client, vectors: Matrix, questions: Matrix, searches: int
) -> dict[str, float]:
    """One who searches, while rows that are there are written anew."""

    async def write_on() -> None:
        step = WRITTEN_PER_S // 10
        for start in range(0, 10**9, step):
            due = time.perf_counter() + 0.1
            some = range(start % len(vectors), min(start % len(vectors) + step, len(vectors)))
            await client.add_points(NAME, [{"id": f"p{n}", "vector": encoded(vectors[n])} for n in some])
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    writing = asyncio.create_task(write_on())
    try:
        return await load(client, questions, 1, searches // 4)
    finally:
        writing.cancel()


async def beside_hnswlib(vectors: Matrix, questions: Matrix) -> dict[str, Any]:
    """Searches a second in batches, ours and hnswlib's, in turns; medians."""
    tuning = GraphTuning(threshold=1)
    bare = hnswlib.Index(space="ip", dim=vectors.shape[1])
    bare.init_index(max_elements=len(vectors), M=tuning.m, ef_construction=tuning.ef_construction)
    bare.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    bare.set_ef(MIN_EF)
    with TemporaryDirectory() as folder:
        async with open_catalog(Path(folder), tuning) as catalog:
            collection, _ = await catalog.create(CollectionSettings(NAME, vectors.shape[1]))
            for start in range(0, len(vectors), POINTS_PER_REQUEST):
                await collection.upsert(points(vectors, start))
            await collection.graph_settled()
            ours, theirs = [], []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                for batch in batches(questions):
                    await asyncio.gather(*(collection.search(Query(K, vector=row)) for row in batch))
                ours.append(len(questions) / (time.perf_counter() - started))
                started = time.perf_counter()
                for batch in batches(questions):
                    bare.knn_query(batch, k=K, num_threads=1)
                theirs.append(len(questions) / (time.perf_counter() - started))
    ratio = float(np.median(ours) / np.median(theirs))
    return {"per_s": float(np.median(ours)), "hnswlib_per_s": float(np.median(theirs)), "ratio": ratio}


def points(vectors: Matrix, start: int) -> list[Document]:
    some = range(start, min(start + POINTS_PER_REQUEST, len(vectors)))
    return [
        Document(f"p{n}", "", None, {"n": n}, (Passage(f"text {n}", 0, 0, vectors[n]),), is_point=True)
        for n in some
    ]


def batches(questions: Matrix) -> Sequence[Matrix]:
    return [questions[start : start + BATCH] for start in range(0, len(questions), BATCH)]


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, effort = machine(), QUICK if options.quick else FULL
    size = Size(texts=effort.texts, rows=effort.rows, questions=QUESTIONS, rounds=1)
    embedded, questions = await embedded_texts(options, size)
    vectors = make_rows(embedded, questions, effort.rows).vectors
    http = await through_http(vectors, questions, effort)
    inside = await beside_hnswlib(vectors, questions)
    report(http, inside)
    goals = goals_of(http, inside)
    print_goals(goals)
    figures = {"http": http, "in_process": inside, "goals": [goal.as_figure() for goal in goals]}
    settings = {"quick": options.quick, "model": MODEL, "k": K, "rows": effort.rows, "batch": BATCH}
    write(options.out, figures, settings, before)


def report(http: Any, inside: Any) -> None:
    rows = [
        [name, *(f"{http[name][column]:.4g}" for column in ("per_s", "p50_ms", "p99_ms"))]
        for name in (*(f"{clients} clients" for clients in CLIENTS), "beside writers")
    ]
    rows.append(["in this process, batches", f"{inside['per_s']:.4g}", "", ""])
    rows.append(["hnswlib alone, batches", f"{inside['hnswlib_per_s']:.4g}", "", ""])
    print_table("search by vector", ["who asks", "per s", "p50 ms", "p99 ms"], rows)


def goals_of(http: Any, inside: Any) -> list[Goal]:
    busy, idle = http["beside writers"]["p99_ms"], http["1 clients"]["p99_ms"]
    return [
        Goal("recall", http["recall"], "at least", 0.995),
        Goal("searches by 8 clients", http["8 clients"]["per_s"], "at least", 2000, "/s"),
        Goal("p99 beside writers, in idle ones", busy / idle, "at most", 2.0),
        Goal("in batches, of hnswlib alone", inside["ratio"], "at least", 0.8, "%"),
    ]


if __name__ == "__main__":
    asyncio.run(run(parse_options("vector_search", "Throughput and latency of searches by vector.")))
