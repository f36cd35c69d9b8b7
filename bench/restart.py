"""How soon is a large collection back after kill -9, and how much memory does it take?

A million rows grown from real embeddings, with vectors of eight bits in the graph and with float32. Another
process writes ten thousand rows more and is killed in the midst of them. A third one opens the collection:
seconds until it answers exactly, until it answers by its graph and until that has every row; resident memory,
recall, and the longest time that the event loop did not come round.
"""

import asyncio
import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.event_loop import Loop, watched_loop
from harness.grown import DIM, Matrix, embedded
from harness.grown_collection import K, memory_of, recall, store, tidy
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.targets import Goal, print_goals
from index.catalog import open_catalog
from index.rows import CollectionSettings, Quantization, Query

FULL_ROWS, QUICK_ROWS = 1_000_000, 20_000
REPLAYED = 100  # one row of so many is written just before the kill
NAME = "large"
PARTS: tuple[Quantization, ...] = ("int8", "none")
# After so long, pages that were scanned before there was a graph have been given back.
PAGES_LEFT_S = 16.0


async def build(
    data: Path, documents: Matrix, rows: int, quantization: Quantization, loop: Loop
) -> dict[str, float]:
    """The collection, whole and closed; rows a second, and the longest stall."""
    started = time.perf_counter()
    async with open_catalog(data) as catalog:
        settings = CollectionSettings(NAME, DIM, quantization=quantization)
        collection, _ = await catalog.create(settings)
        await store(collection, documents, range(rows))
        stored_s = time.perf_counter() - started
        await collection.graph_settled()
        graph_s = time.perf_counter() - started
        await tidy(collection)
    return {
        "stored_rows_per_s": rows / stored_s,
        "in_graph_rows_per_s": rows / graph_s,
        "building_stall_ms": loop.stall_ms(),
    }


def write_and_die(data: Path, documents: Matrix, numbers: range) -> None:
    """In a process of its own: write these rows, and be killed while the graph takes them in."""

    async def write_rows() -> None:
        async with open_catalog(data) as catalog:
            await store(await catalog.get(NAME), documents, numbers)
            os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(write_rows())


def come_back(data: Path, questions: Matrix, expected: int) -> dict[str, Any]:
    """In a process of its own, whose memory is that of a service that was just started."""

    async def watched() -> dict[str, Any]:
        async with watched_loop() as loop:
            return await reopen(data, questions, expected, loop)

    return asyncio.run(watched())


async def reopen(data: Path, questions: Matrix, expected: int, loop: Loop) -> dict[str, Any]:
    """Seconds from opening the folder until the collection answers, and until its graph does."""
    started = time.perf_counter()
    async with open_catalog(data) as catalog:
        collection = await catalog.get(NAME)
        first = await collection.search(Query(K, vector=questions[0]))
        answered_s = time.perf_counter() - started
        while (await collection.search(Query(K, vector=questions[0]))).plan != "graph":  # noqa: ASYNC110 - its loading has no event
            await asyncio.sleep(0.01)
        graph_s = time.perf_counter() - started
        await collection.graph_settled()
        settled_s = time.perf_counter() - started
        stall_ms = loop.stall_ms()
        statistics = await collection.statistics()
        assert statistics.points == statistics.graph_points == expected, "rows were lost"
        found = await recall(collection, questions)
        await asyncio.sleep(PAGES_LEFT_S)
        sizes = memory_of(await collection.statistics())
    return {
        "answered_s": answered_s,
        "first_plan": first.plan,
        "graph_s": graph_s,
        "settled_s": settled_s,
        "starting_stall_ms": stall_ms,
        "recall": found,
    } | sizes


async def measure(
    documents: Matrix, questions: Matrix, rows: int, quantization: Quantization
) -> dict[str, Any]:
    """One kind of graph."""
    replayed = rows // REPLAYED
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder:
        data = Path(folder)
        async with watched_loop() as loop:
            figures: dict[str, Any] = await build(data, documents, rows, quantization, loop)
        victim = spawn.Process(target=write_and_die, args=(data, documents, range(rows, rows + replayed)))
        victim.start()
        await asyncio.to_thread(victim.join)
        assert victim.exitcode == -signal.SIGKILL, "it ended before it was killed"
        with ProcessPoolExecutor(1, spawn) as other:
            figures |= await asyncio.to_thread(
                other.submit(come_back, data, questions, rows + replayed).result
            )
    return figures


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, rows = machine(), QUICK_ROWS if options.quick else FULL_ROWS
    documents, questions = await embedded(options)
    figures: dict[str, Any] = {
        part: await measure(documents, questions, rows, part) for part in PARTS if part in options.parts
    }
    report(figures)
    goals = goals_of(figures)
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"quick": options.quick, "rows": rows, "replayed": rows // REPLAYED, "dim": DIM, "k": K}
    write(options.out, figures, settings, before)


def report(figures: dict[str, Any]) -> None:
    names = list(next(iter(figures.values())))
    rows = [[name, *(_shown(figures[part][name]) for part in figures)] for name in names]
    print_table("restart after kill -9", ["", *figures], rows)


def _shown(figure: Any) -> str:
    return (
        f"{figure:,.3f}" if isinstance(figure, float) else f"{figure:,}" if figure != str(figure) else figure
    )


def goals_of(figures: dict[str, Any]) -> list[Goal]:
    goals = []
    for part, each in figures.items():
        most_gb, least_recall = (0.9, 0.98) if part == "int8" else (2.2, 0.98)
        stall_ms = max(each["building_stall_ms"], each["starting_stall_ms"])
        goals += [
            Goal(f"{part}: exact answer after a restart", each["answered_s"], "at most", 5.0, "s"),
            Goal(f"{part}: answer by the graph", each["graph_s"], "at most", 10.0, "s"),
            Goal(f"{part}: process, resident", each["process_bytes"] / 1e9, "at most", most_gb, "GB"),
            Goal(f"{part}: recall", each["recall"], "at least", least_recall),
            Goal(f"{part}: longest stall", stall_ms, "at most", 50.0, "ms"),
        ]
    return goals


if __name__ == "__main__":
    asyncio.run(run(parse_options("restart", "How soon a large collection is back.", parts=PARTS)))
