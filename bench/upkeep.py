"""Does a collection stay as good, as small and as fast while everything in it changes?

In this process, over rows that lie in clusters: a restart of a large collection, with and without its mapped
files; ten full turnovers, half of each by updates and half by deleting and adding, with recall, memory and
disk held against a fresh build; and how long a deleted row stays in a file. All the while the event loop is
watched: the longest time that it did not come round is reported.
"""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.corpora import SEED
from harness.options import Options, parse_options
from harness.report import machine, write
from harness.service import resident_bytes
from harness.targets import Goal, print_goals
from index.catalog import open_catalog
from index.collection import Collection
from index.rows import CollectionSettings, Document, Passage, Query
from index.upkeep import UpkeepTuning

Matrix: TypeAlias = npt.NDArray[np.float32]

DIM = 384
K = 10
CENTRES = 5_000
NOISE = 0.5
ROWS_PER_WRITE = 1_000
BEAT_S = 0.002
TURNOVERS = 10
QUESTIONS = 100
SETTLED_S = 120.0
# After so long, pages that were scanned before there was a graph have been given back.
PAGES_LEFT_S = 12.0
# So that a turnover is tidied up before the next one, without waiting for long.
OFTEN = UpkeepTuning(erase_after_s=1.0)


@dataclass(frozen=True, slots=True)
class Size:
    """Rows of the collection that is started again, and of the one that is turned over."""

    started: int
    turned: int


FULL = Size(started=1_000_000, turned=100_000)
QUICK = Size(started=20_000, turned=6_000)


@dataclass(slots=True)
class Loop:
    """How long the event loop did not come round, at most, since it was last asked."""

    _longest: float = field(default=0.0)

    async def watch(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(BEAT_S)
            now = time.perf_counter()
            self._longest = max(self._longest, now - last - BEAT_S)
            last = now

    def stall_ms(self) -> float:
        longest, self._longest = self._longest, 0.0
        return 1000 * longest


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Loop]:
    loop = Loop()
    watching = asyncio.create_task(loop.watch())
    try:
        yield loop
    finally:
        watching.cancel()


class Rows:
    """Rows by number, the same for the same number and generation, of length 1."""

    def __init__(self) -> None:
        self._centres = unit(np.random.default_rng(SEED).normal(size=(CENTRES, DIM)))

    def of(self, numbers: Sequence[int], generation: int = 0) -> Matrix:
        dice = np.random.default_rng([SEED, generation, *numbers[:1]])
        noise = dice.normal(size=(len(numbers), DIM)) * (NOISE / DIM**0.5)
        return unit(self._centres[dice.integers(0, CENTRES, len(numbers))] + noise)


def unit(rows: npt.NDArray[np.floating[Any]]) -> Matrix:
    scaled: Matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


async def store(collection: Collection, numbers: range, rows: Rows, generation: int = 0) -> None:
    for start in range(numbers.start, numbers.stop, ROWS_PER_WRITE):
        some = range(start, min(start + ROWS_PER_WRITE, numbers.stop))
        vectors = rows.of(some, generation)
        points = [
            Document(
                f"p{number}", "", None, {"number": number}, (Passage(None, 0, 0, vector),), is_point=True
            )
            for number, vector in zip(some, vectors, strict=True)
        ]
        await collection.upsert(points)


async def tidy(collection: Collection) -> None:
    """Until the graph has caught up, and nothing is left to write anew or to erase."""
    await collection.graph_settled()
    memory = await collection.memory.load()
    async with asyncio.timeout(SETTLED_S):
        while memory.upkeep.is_erasing:  # noqa: ASYNC110 - what files hold has no event
            await asyncio.sleep(0.1)


async def measure_restart(data: Path, size: int, loop: Loop) -> dict[str, Any]:
    """Seconds until a collection that was just opened answers, and until it has its graph."""
    figures: dict[str, Any] = {"rows": size}
    async with open_catalog(data) as catalog:
        collection, _ = await catalog.create(CollectionSettings("large", DIM))
        await store(collection, range(size), Rows())
        await collection.graph_settled()
        await tidy(collection)
        figures["building_stall_ms"] = loop.stall_ms()
    gc.collect()
    question = Rows().of([1], generation=1)[0]
    started = time.perf_counter()
    async with open_catalog(data) as catalog:
        collection = catalog.get("large")
        figures["opened_s"] = time.perf_counter() - started
        answer = await collection.search(Query(K, vector=question))
        figures["answered_s"] = time.perf_counter() - started
        figures["first_plan"] = answer.plan
        await collection.graph_settled()
        figures["graph_s"] = time.perf_counter() - started
        figures["starting_stall_ms"] = loop.stall_ms()
        await asyncio.sleep(PAGES_LEFT_S)
        figures["sizes"] = memory_of(await collection.statistics())
    return figures


def memory_of(statistics: Any) -> dict[str, int]:
    return {
        "memory_bytes": statistics.memory_bytes,
        "mapped_bytes": statistics.mapped_bytes,
        "disk_bytes": statistics.size_bytes,
        "process_bytes": resident_bytes(os.getpid())["now"],
    }


async def recall(collection: Collection) -> float:
    """Which part of the exact nearest a usual search finds."""
    found = 0
    for question in Rows().of(range(QUESTIONS), generation=10**6):
        usual = await collection.search(Query(K, vector=question))
        exact = await collection.search(Query(K, vector=question, exact=True))
        found += len({hit.id for hit in usual.hits} & {hit.id for hit in exact.hits})
    return found / (K * QUESTIONS)


async def turn_over(collection: Collection, size: int, generation: int) -> None:
    """Every row is replaced: one half under its own id, the other deleted and added again."""
    half = size // 2
    await store(collection, range(half), Rows(), generation)
    for start in range(half, size, ROWS_PER_WRITE):
        some = range(start, min(start + ROWS_PER_WRITE, size))
        await collection.delete([f"p{number}" for number in some])
        await store(collection, some, Rows(), generation)


async def measure_turnovers(data: Path, size: int, loop: Loop) -> dict[str, Any]:
    """Recall and sizes of a fresh build and after each turnover; the last state is built afresh beside it."""
    states = []
    async with open_catalog(data, upkeep=OFTEN) as catalog:
        collection, _ = await catalog.create(CollectionSettings("turned", DIM))
        await store(collection, range(size), Rows())
        await tidy(collection)
        states.append(await state_of(collection, loop))
        for generation in range(1, TURNOVERS + 1):
            await turn_over(collection, size, generation)
            await tidy(collection)
            states.append(await state_of(collection, loop))
        fresh, _ = await catalog.create(CollectionSettings("fresh", DIM))
        await store(fresh, range(size), Rows(), TURNOVERS)
        await tidy(fresh)
        return {"rows": size, "states": states, "fresh": await state_of(fresh, loop)}


async def state_of(collection: Collection, loop: Loop) -> dict[str, Any]:
    statistics = await collection.statistics()
    return {"recall": await recall(collection), "stall_ms": loop.stall_ms()} | memory_of(statistics)


async def measure_erasing(data: Path, size: int, loop: Loop) -> dict[str, Any]:
    """Seconds until nothing of one deleted document is in any file of a collection of many."""
    async with open_catalog(data) as catalog:
        collection = catalog.get("turned")
        vector, word = Rows().of([1], generation=77)[0], "xylotheque"
        secret = Document("secret", word, word, {}, (Passage(word, 0, len(word), vector),))
        await collection.upsert([secret])
        await tidy(collection)
        loop.stall_ms()
        started = time.perf_counter()
        await collection.delete(["secret"])
        await tidy(collection)
        elapsed = time.perf_counter() - started
        stall_ms = loop.stall_ms()
        left = await asyncio.to_thread(holding, data, [word.encode(), vector.tobytes()])
        return {"rows": size, "gone_s": elapsed, "stall_ms": stall_ms, "files_that_have_it": left}


def holding(data: Path, traces: Sequence[bytes]) -> list[str]:
    files = [path for path in data.rglob("*") if path.is_file()]
    return [path.name for path in files if any(trace in path.read_bytes() for trace in traces)]


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, size = machine(), QUICK if options.quick else FULL
    with TemporaryDirectory() as folder:
        async with watched_loop() as loop:
            turned = await measure_turnovers(Path(folder), size.turned, loop)
            erased = await measure_erasing(Path(folder), size.turned, loop)
        with TemporaryDirectory() as other:
            async with watched_loop() as loop:
                restarted = await measure_restart(Path(other), size.started, loop)
    goals = goals_of(restarted, turned, erased)
    print_goals(goals)
    figures: dict[str, Any] = {"restart": restarted, "turnovers": turned, "erasing": erased}
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"quick": options.quick, "dim": DIM, "k": K, "turnovers": TURNOVERS, "seed": SEED}
    write(options.out, figures, settings, before)


def goals_of(restarted: Any, turned: Any, erased: Any) -> list[Goal]:
    last, fresh = turned["states"][-1], turned["fresh"]
    stalls = [restarted["building_stall_ms"], restarted["starting_stall_ms"], erased["stall_ms"]]
    return [
        Goal("exact answer after a restart", restarted["answered_s"], "at most", 5.0, "s"),
        Goal("graph after a restart", restarted["graph_s"], "at most", 10.0, "s"),
        Goal("process, resident", restarted["sizes"]["process_bytes"] / 1e9, "at most", 2.2, "GB"),
        Goal("recall lost in ten turnovers", fresh["recall"] - last["recall"], "at most", 0.01),
        Goal("memory after them", last["memory_bytes"] / fresh["memory_bytes"], "at most", 1.2),
        Goal("disk after them", last["disk_bytes"] / fresh["disk_bytes"], "at most", 1.3),
        Goal("deleted data gone", erased["gone_s"], "at most", 60.0, "s"),
        Goal("files that still have it", float(len(erased["files_that_have_it"])), "at most", 0.0),
        Goal(
            "longest stall",
            max(stalls + [state["stall_ms"] for state in turned["states"]]),
            "at most",
            50.0,
            "ms",
        ),
    ]


if __name__ == "__main__":
    asyncio.run(run(parse_options("upkeep", "What changes do to a collection.")))
