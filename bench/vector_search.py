"""How fast is a search by vector, through HTTP and without it, beside other databases, and does writing slow
it down?

Real embeddings of SQuAD, Cranfield and NPL, made more by perturbing them. Through HTTP: a service, Chroma and
milvus-lite, each with the same rows and the same graph, asked in turns by as many closed-loop clients for ten
hits with text and metadata, plain and under filters; the service also while other clients write. In this
process: the same rows in a collection and in hnswlib alone, built alike, asked in batches, in turns.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hnswlib
import numpy as np

from filtered_search import make_rows
from harness.client import open_client
from harness.grown import Matrix, embedded
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service, until_at_rest
from harness.side import open_side, usable_cores
from harness.targets import Goal, print_goals
from harness.vector_load import NAME, fill
from harness.vector_peers import CHROMA, CLIENTS, MILVUS, OURS, Data, Turns, compare, embedd, open_peers
from harness.vector_rows import EF, EF_CONSTRUCTION, KINDS, K, M
from harness.vector_writers import ADDING, IDLE, REPLACING, WAYS, WRITTEN_PER_S, beside_writers
from index.catalog import open_catalog
from index.growth import GraphTuning
from index.planner import MIN_EF
from index.rows import CollectionSettings, Document, Passage, Query

POINTS_PER_REQUEST = 500
BATCH = 32
ROUNDS = 5
PARTS = ("http", "in-process")


@dataclass(frozen=True, slots=True)
class Effort:
    """Rows, turns that are taken at being asked, and beside writers."""

    rows: int
    turns: Turns
    writing: Turns


FULL = Effort(rows=76_000, turns=Turns(5, 3.0), writing=Turns(3, 10.0))
QUICK = Effort(rows=8_000, turns=Turns(1, 1.0), writing=Turns(1, 3.0))


async def through_http(vectors: Matrix, questions: Matrix, effort: Effort, folder: Path) -> dict[str, Any]:
    """Rows written a second, recall, searches a second and latencies, ours and those of peers; and beside
    writers.
    """
    async with (
        open_service(model="none") as service,
        open_client(service.url) as client,
        open_side("load", cores=usable_cores()) as load,
    ):
        data = Data(vectors, questions, folder, load)
        await client.create_collection(NAME, dim=vectors.shape[1])
        written = await fill(client, vectors)
        facts: dict[str, Any] = {
            OURS: {"written_s": written, "ready_s": written + await until_at_rest(service.pid)}
        }
        async with open_peers(data) as (peers, of_peers):
            facts |= of_peers
            searches = await compare({OURS: embedd(data, service)} | peers, data, effort.turns)
        writing = await beside_writers(service, data, effort.writing)
        return {"set_up": facts, "searches": searches, "beside writers": writing, "memory": service.memory()}


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
                    await collection.search_many([Query(K, vector=row, with_content=False) for row in batch])
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
    documents, questions = await embedded(options)
    vectors = make_rows(documents, questions, effort.rows).vectors
    figures: dict[str, Any] = {}
    goals: list[Goal] = []
    if "http" in options.parts:
        with TemporaryDirectory() as folder:
            figures["http"] = await through_http(vectors, questions, effort, Path(folder))
        report(figures["http"], effort.rows)
        goals += goals_of(figures["http"])
    if "in-process" in options.parts:
        figures["in_process"] = await beside_hnswlib(vectors, questions)
        report_inside(figures["in_process"])
        goals.append(
            Goal("in batches, of hnswlib alone", figures["in_process"]["ratio"], "at least", 0.8, "%")
        )
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"quick": options.quick, "model": MODEL, "k": K, "rows": effort.rows, "batch": BATCH}
    settings |= {"m": M, "ef_construction": EF_CONSTRUCTION, "ef": EF, "written_per_s": WRITTEN_PER_S}
    write(options.out, figures, settings, before)


def report(http: Any, rows: int) -> None:
    filling = [
        [name, f"{rows / facts['written_s']:.0f}", f"{rows / facts['ready_s']:.0f}"]
        for name, facts in http["set_up"].items()
    ]
    print_table("rows written a second", ["into", "acknowledged", "searchable through the index"], filling)
    columns = ["who is asked", "clients", "recall", "short", "per s", "embedd to it", "p50 ms", "p99 ms"]
    for kind in KINDS:
        print_table(f"search by vector, {kind}", columns, rows_of(http["searches"], kind))
    beside = [
        [
            way,
            *(
                f"{http['beside writers'][way][part]:.4g}"
                for part in ("per_s", "p50_ms", "p99_ms", "longest_stall_ms")
            ),
        ]
        for way in WAYS
    ]
    print_table(
        f"one who searches, {WRITTEN_PER_S} rows a second",
        ["beside", "per s", "p50 ms", "p99 ms", "longest stall ms"],
        beside,
    )


def rows_of(searches: Any, kind: str) -> list[list[str]]:
    """A row for each who was asked, and number of clients."""
    table = []
    for clients in CLIENTS:
        for name, kinds in searches.items():
            figures = kinds[kind]
            measured = figures[f"{clients} clients"]
            found = [f"{figures['recall']:.4f}", str(figures["short_answers"])]
            numbers = [measured[part] for part in ("per_s", "ours_to_this", "p50_ms", "p99_ms")]
            table.append([name, str(clients), *found, *(f"{number:.4g}" for number in numbers)])
    return table


def report_inside(inside: Any) -> None:
    rows = [["ours", f"{inside['per_s']:.4g}"], ["hnswlib alone", f"{inside['hnswlib_per_s']:.4g}"]]
    print_table("search by vector in this process, in batches", ["who is asked", "per s"], rows)


def goals_of(http: Any) -> list[Goal]:
    ours, many = http["searches"][OURS]["plain"], f"{max(CLIENTS)} clients"
    goals = [
        Goal("recall", ours["recall"], "at least", 0.995),
        Goal(f"searches by {many}", ours[many]["per_s"], "at least", 2000, "/s"),
    ]
    for name in (CHROMA, MILVUS):
        if name not in http["searches"]:
            continue
        times = http["searches"][name]["plain"][many]["ours_to_this"]
        goals.append(Goal(f"{many}, times {name}", times, "at least", 5.0))
    for way in (REPLACING, ADDING):
        found = http["beside writers"][way]
        goals.append(Goal(f"p99 beside {way}, in idle ones", found["p99_to_idle"], "at most", 2.0))
    stall = max(http["beside writers"][way]["longest_stall_ms"] for way in WAYS if way != IDLE)
    return [*goals, Goal("longest stall beside writers", stall, "at most", 50.0, "ms")]


if __name__ == "__main__":
    asyncio.run(
        run(parse_options("vector_search", "Throughput and latency of searches by vector.", parts=PARTS))
    )
