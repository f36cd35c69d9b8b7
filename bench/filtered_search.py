"""Does a filter lose results, and what does it cost?

Real embeddings of SQuAD, Cranfield and NPL, made more by perturbing them, go into a collection in this
process. Each row knows a random rank, and its rank by nearness to each of some questions; filters on these
ranks are of any selectivity, and match what is near the question, far from it, or neither. Reported for each
selectivity, correlation and shape of filter: recall@10 against numpy, how long a search takes, and the plans
that ran. A search joins its rows from SQLite, as every search does.
"""

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.corpora import SEED
from harness.grown import NOISE, Matrix, embedded, unit
from harness.metrics import percentiles_ms
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL
from index.catalog import open_catalog
from index.collection import Collection
from index.filters import parse_filter
from index.rows import CollectionSettings, Document, Passage, Query

Ranks: TypeAlias = npt.NDArray[np.int64]
Filter: TypeAlias = dict[str, Any]

K = 10
SELECTIVITIES = (0.5, 0.2, 0.1, 0.04, 0.01, 0.001)
CORRELATIONS = ("positive", "none", "negative")
ROWS_PER_WRITE = 1_000
# Rows whose scores differ by less are equally near to float32.
TIE = 1e-6
# Every row is even or odd, and an AND asks for one of them.
PARITY = "parity"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rows, questions, and how often each is asked."""

    rows: int
    questions: int
    rounds: int


FULL = Size(rows=100_000, questions=16, rounds=12)
QUICK = Size(rows=12_000, questions=8, rounds=3)


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors (n, dim) of length 1, questions (q, dim), and ranks from 0: random (n,), and by nearness to
    each question (q, n).
    """

    vectors: Matrix
    questions: Matrix
    random: Ranks
    near: Ranks

    def metadata(self, row: int) -> dict[str, int]:
        ranks = {f"near{n}": int(ranks[row]) for n, ranks in enumerate(self.near)}
        return {"random": int(self.random[row]), PARITY: row % 2} | ranks


def one_key(key: str, low: int, high: int) -> Filter:
    return {key: {"$gte": low, "$lt": high}}


def either(key: str, low: int, high: int) -> Filter:
    middle = (low + high) // 2
    return {"$or": [one_key(key, low, middle), one_key(key, middle, high)]}


def negated(key: str, low: int, high: int) -> Filter:
    return {"$not": {"$or": [{key: {"$lt": low}}, {key: {"$gte": high}}]}}


def both(key: str, low: int, high: int) -> Filter:
    """Of half as many rows as the others: every second of them."""
    return {"$and": [one_key(key, low, high), {PARITY: 0}]}


SHAPES: Mapping[str, Callable[[str, int, int], Filter]] = {
    "one key": one_key,
    "AND": both,
    "OR": either,
    "NOT": negated,
}


def stretch(rows: Rows, correlation: str, question: int, share: float) -> tuple[str, Ranks, int, int]:
    """A key, the ranks under it, and the stretch of ranks that this share of the rows has."""
    total = len(rows.vectors)
    count = max(1, round(total * share))
    if correlation == "none":
        return "random", rows.random, 0, count
    low = 0 if correlation == "positive" else total - count
    return f"near{question}", rows.near[question], low, low + count


async def measure(
    collection: Collection, rows: Rows, cell: tuple[float, str, str], rounds: int
) -> dict[str, Any]:
    """Recall, milliseconds and plans of one cell, over all questions."""
    share, correlation, shape = cell
    recalls, times, plans = [], [], Counter[str]()
    for number, question in enumerate(rows.questions):
        key, ranks, low, high = stretch(rows, correlation, number, share)
        tree = parse_filter(SHAPES[shape](key, low, high))
        matching = (ranks >= low) & (ranks < high)
        if shape == "AND":
            matching &= np.arange(len(ranks)) % 2 == 0
        wanted, least = nearest(rows.vectors, question, np.flatnonzero(matching))
        for _ in range(rounds):
            started = time.perf_counter()
            result = await collection.search(Query(K, vector=question, filter=tree))
            times.append(time.perf_counter() - started)
            found = [int(hit.id) for hit in result.hits]
            assert len(set(found)) == wanted, "a filter lost results"
            scores = rows.vectors[found].astype(np.float64) @ question
            recalls.append(np.count_nonzero(scores >= least - TIE) / max(1, wanted))
            plans[result.plan] += 1
    return {
        "selectivity": share,
        "correlation": correlation,
        "shape": shape,
        "recall": float(np.mean(recalls)),
        "plans": dict(plans),
    } | percentiles_ms(times)


def nearest(vectors: Matrix, question: Matrix, candidates: Ranks) -> tuple[int, float]:
    """How many rows there are to find, and the score of the last of them."""
    scores = np.sort(vectors[candidates].astype(np.float64) @ question)[::-1][:K]
    return len(scores), float(scores[-1]) if len(scores) else 0.0


def make_rows(documents: Matrix, questions: Matrix, total: int) -> Rows:
    """Rows that lie as the embedded ones do, in a random order."""
    dice = np.random.default_rng(SEED)
    noise = dice.normal(size=(total, documents.shape[1])) / math.sqrt(documents.shape[1])
    sources = documents[np.arange(total) % len(documents)]
    kept = (np.arange(total) < len(documents))[:, None]
    vectors = unit(np.where(kept, sources, sources + NOISE * noise))[dice.permutation(total)]
    by_nearness = np.argsort(-(questions @ vectors.T), axis=1, kind="stable")
    near = np.empty_like(by_nearness)
    np.put_along_axis(near, by_nearness, np.arange(total)[None, :].repeat(len(questions), axis=0), axis=1)
    return Rows(vectors, questions, dice.permutation(total), near)


async def store(collection: Collection, rows: Rows) -> None:
    """Writes all rows as points, and waits for the graph."""
    for start in range(0, len(rows.vectors), ROWS_PER_WRITE):
        some = range(start, min(start + ROWS_PER_WRITE, len(rows.vectors)))
        await collection.upsert([point(rows, row) for row in some])
    await collection.graph_settled()


def point(rows: Rows, row: int) -> Document:
    passage = Passage(None, 0, 0, rows.vectors[row])
    return Document(str(row), "", None, rows.metadata(row), (passage,), is_point=True)


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, size = machine(), QUICK if options.quick else FULL
    documents, questions = await embedded(options)
    rows = make_rows(documents, questions[: size.questions], size.rows)
    with TemporaryDirectory() as folder:
        async with open_catalog(Path(folder)) as catalog:
            collection, _ = await catalog.create(CollectionSettings("rows", rows.vectors.shape[1]))
            await store(collection, rows)
            cells = itertools.product(SELECTIVITIES, CORRELATIONS, SHAPES)
            warm_s = await first_filters(collection, rows)
            figures = [await measure(collection, rows, cell, size.rounds) for cell in cells]
    print_cells(figures)
    worst = {
        "recall": min(cell["recall"] for cell in figures),
        "p99_ms": max(cell["p99_ms"] for cell in figures),
    }
    print(f"worst cells: recall@{K} {worst['recall']:.4f}, p99 {worst['p99_ms']:.1f} ms")
    settings = {"quick": options.quick, "model": MODEL, "k": K, "noise": NOISE, "seed": SEED}
    settings |= {"rows": size.rows, "questions": size.questions, "rounds": size.rounds}
    write(options.out, {"cells": figures, "worst": worst, "first_filters_s": warm_s}, settings, before)


async def first_filters(collection: Collection, rows: Rows) -> float:
    """Seconds for the first filter on every key, which reads the metadata of all rows."""
    started = time.perf_counter()
    asked: Filter = {key: {"$gte": 0} for key in rows.metadata(0)}
    await collection.search(Query(K, vector=rows.questions[0], filter=parse_filter(asked)))
    return time.perf_counter() - started


def print_cells(figures: Sequence[Mapping[str, Any]]) -> None:
    """A row per cell."""
    columns = ["selectivity, correlation, shape", f"recall@{K}", "p50 ms", "p99 ms", "plans"]
    cells = [
        [
            f"{100 * cell['selectivity']:g} %, {cell['correlation']}, {cell['shape']}",
            f"{cell['recall']:.4f}",
            f"{cell['p50_ms']:.2f}",
            f"{cell['p99_ms']:.2f}",
            ", ".join(f"{plan.removeprefix('filtered-')} {n}" for plan, n in cell["plans"].items()),
        ]
        for cell in figures
    ]
    print_table("filtered search", columns, cells)


if __name__ == "__main__":
    asyncio.run(run(parse_options("filtered_search", "Recall and latency of filtered search.")))
