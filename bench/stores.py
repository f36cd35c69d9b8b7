"""What do the stores beyond one machine cost and hold? Searches of all three over the same rows, beside the
bare clients; copies; replicas that are killed; a primary that is.

Real embeddings, made more by perturbing them, in the embedded store, in PostgreSQL with pgvector and in
Milvus Lite, each with M 16 and ef_construction 200, searched as widely as each store does; one after the
other, with all cores. PostgreSQL waits for its disk. Milvus Lite is no cluster of Milvus: what is measured
of it is our own code, and not what a cluster would answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filtered_search import make_rows
from harness import replicas, store_copies
from harness.grown import Matrix, embedded
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL
from harness.store_searches import CLIENTS, COMPARED, Turns, measured, nearest
from harness.stores import EMBEDDED, MILVUS, ONE_CALL, PGVECTOR, SAME_STATEMENTS, open_filled
from harness.targets import Goal, print_goals
from harness.vector_rows import EF_CONSTRUCTION, K, M

PARTS = ("search", "copy", "kills", "failover")
STORES = (EMBEDDED, PGVECTOR, MILVUS)


@dataclass(frozen=True, slots=True)
class Effort:
    """Rows, questions, turns of searches, and replicas that are killed."""

    rows: int
    questions: int
    turns: Turns
    kills: int


FULL = Effort(rows=76_000, questions=200, turns=Turns(5, 3.0), kills=50)
QUICK = Effort(rows=12_000, questions=20, turns=Turns(1, 1.0), kills=2)


async def rows_of(options: Options, effort: Effort) -> tuple[Matrix, Matrix]:
    """Rows (n, dim) and questions."""
    documents, questions = await embedded(options)
    asked = questions[: effort.questions]
    return make_rows(documents, asked, effort.rows).vectors, asked


async def search(options: Options, effort: Effort) -> dict[str, Any]:
    """By store; each is filled when the one before it has ended."""
    vectors, questions = await rows_of(options, effort)
    figures, expected = {}, nearest(vectors, questions)
    for name in STORES:
        with TemporaryDirectory() as folder:
            async with open_filled(name, Path(folder), vectors) as filled:
                found = await measured(filled, questions, expected, effort.turns)
                found["written_rows_per_s"] = len(vectors) / filled.written_s
                found["searchable_rows_per_s"] = len(vectors) / filled.ready_s
                figures[name] = found
    return figures


async def copy(options: Options, effort: Effort) -> dict[str, Any]:
    """Out of one data folder, into each engine."""
    vectors, _ = await rows_of(options, effort)
    with TemporaryDirectory() as folder:
        source, milvus = Path(folder) / "source", Path(folder) / "milvus"
        milvus.mkdir()
        await store_copies.make_source(source, vectors)
        return {
            PGVECTOR: await store_copies.to_postgres(source, vectors),
            MILVUS: await store_copies.to_milvus(source, milvus, vectors),
        }


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, effort = machine(), QUICK if options.quick else FULL
    parts: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
        "search": lambda: search(options, effort),
        "copy": lambda: copy(options, effort),
        "kills": lambda: replicas.kills(effort.kills),
        "failover": replicas.failover,
    }
    settings = {"quick": options.quick, "model": MODEL, "rows": effort.rows, "k": K, "m": M}
    settings |= {"questions": effort.questions, "questions_to_bare": COMPARED}
    settings |= {"ef_construction": EF_CONSTRUCTION, "writers": replicas.WRITERS}
    figures: dict[str, Any] = {}
    for part in options.parts:  # each takes minutes: what is known is kept
        found = {part: await parts[part]()}
        report(found)
        figures |= found
        goals = goals_of(figures)
        write(options.out, figures | {"goals": [goal.as_figure() for goal in goals]}, settings, before)
    print_goals(goals_of(figures))


def report(figures: dict[str, Any]) -> None:
    if searched := figures.get("search"):
        columns = ["store", "recall", "short", *(f"{n} clients, per s" for n in CLIENTS)]
        columns += [f"over the bare client, {name}" for name in (ONE_CALL, SAME_STATEMENTS)]
        rows = [
            [
                name,
                f"{found['recall']:.4f}",
                str(found["short_answers"]),
                *(f"{found[f'{n} clients']['per_s']:.4g}" for n in CLIENTS),
                *(_over(found, name) for name in (ONE_CALL, SAME_STATEMENTS)),
            ]
            for name, found in searched.items()
        ]
        print_table("search by vector, in this process", columns, rows)
    if copied := figures.get("copy"):
        rows = [[name, *(f"{value:,.0f}" for value in found.values())] for name, found in copied.items()]
        print_table("rows copied a second", ["into", "copied", "compared", "by the bare client"], rows)
    for part in ("kills", "failover"):
        if found := figures.get(part):
            print_table(part, ["", "figure"], [[name, f"{value:.4g}"] for name, value in found.items()])


def _over(found: dict[str, Any], name: str) -> str:
    bare = found.get("bare", {}).get(name)
    return f"{bare['over']:+.1%}" if bare else ""


def goals_of(figures: dict[str, Any]) -> list[Goal]:
    """What the parts that were run have to reach."""
    goals = []
    for name, found in figures.get("search", {}).items():
        goals.append(Goal(f"{name}: answers that are short", found["short_answers"], "at most", 0))
        for way, bare in found.get("bare", {}).items():
            goals.append(Goal(f"{name}: over the bare client, {way}", bare["over"], "at most", 0.2, "%"))
    if copied := figures.get("copy"):
        to_postgres, to_milvus = copied[PGVECTOR], copied[MILVUS]
        share = to_milvus["rows_per_s"] / to_milvus["bare_rows_per_s"]
        goals.append(Goal("copied to pgvector", to_postgres["rows_per_s"], "at least", 5_000, "rows/s"))
        goals.append(Goal("copied to Milvus, of the bare client's", share, "at least", 0.8, "%"))
    if killed := figures.get("kills"):
        goals += [
            Goal(f"kills of a replica: {name}", killed[name], "at most", 0) for name in ("lost", "doubled")
        ]
    if failed := figures.get("failover"):
        goals.append(Goal("failover", failed["acknowledged_again_s"], "at most", 10.0, "s"))
        goals += [Goal(f"failover: {name}", failed[name], "at most", 0) for name in ("lost", "doubled")]
    return goals


if __name__ == "__main__":
    asyncio.run(run(parse_options("stores", "Stores, replicas and copies beyond one machine.", parts=PARTS)))
