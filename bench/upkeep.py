"""Does a collection stay as good, as small and as fast while everything in it changes?

In this process, over rows grown from real embeddings: ten full turnovers, half of each by updates and half by
deleting and adding, with recall, memory and disk held against a fresh build; and how long a deleted row stays
in a file. All the while the event loop is watched: the longest time that it did not come round is reported.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.corpora import SEED
from harness.event_loop import Loop, watched_loop
from harness.grown import DIM, Matrix, embedded, grown
from harness.grown_collection import ROWS_PER_WRITE, K, memory_of, recall, store, tidy
from harness.options import Options, parse_options
from harness.report import machine, write
from harness.targets import Goal, print_goals
from index.catalog import open_catalog
from index.collection import Collection
from index.rows import CollectionSettings, Document, Passage
from index.upkeep import UpkeepTuning

TURNOVERS = 10


@dataclass(frozen=True, slots=True)
class Rows:
    """How many are turned over, and how many there are when one is erased."""

    turned: int
    erased_among: int


FULL, QUICK = Rows(turned=20_000, erased_among=100_000), Rows(turned=6_000, erased_among=6_000)
# So that a turnover is tidied up before the next one, without waiting for long.
OFTEN = UpkeepTuning(erase_after_s=1.0)


@dataclass(frozen=True, slots=True)
class Given:
    """Real embeddings, of documents (n, dim) that ``rows`` are grown from, and of questions."""

    rows: Matrix
    questions: Matrix


async def turn_over(collection: Collection, rows: Matrix, size: int, generation: int) -> None:
    """Every row is replaced: one half under its own id, the other deleted and added again."""
    half = size // 2
    await store(collection, rows, range(half), generation)
    for start in range(half, size, ROWS_PER_WRITE):
        some = range(start, min(start + ROWS_PER_WRITE, size))
        await collection.delete([f"p{number}" for number in some])
        await store(collection, rows, some, generation)


async def measure_turnovers(data: Path, size: int, given: Given, loop: Loop) -> dict[str, Any]:
    """Recall and sizes of a fresh build and after each turnover; the last state is built afresh beside it."""
    states = []
    async with open_catalog(data, upkeep=OFTEN) as catalog:
        collection, _ = await catalog.create(CollectionSettings("turned", DIM))
        await store(collection, given.rows, range(size))
        await tidy(collection)
        states.append(await state_of(collection, given, loop))
        print(f"{size:,} rows, recall {states[0]['recall']:.3f}", flush=True)
        for generation in range(1, TURNOVERS + 1):
            await turn_over(collection, given.rows, size, generation)
            await tidy(collection)
            states.append(await state_of(collection, given, loop))
            print(f"turned over {generation} times, recall {states[-1]['recall']:.3f}", flush=True)
        fresh, _ = await catalog.create(CollectionSettings("fresh", DIM))
        await store(fresh, given.rows, range(size), TURNOVERS)
        await tidy(fresh)
        return {"rows": size, "states": states, "fresh": await state_of(fresh, given, loop)}


async def state_of(collection: Collection, given: Given, loop: Loop) -> dict[str, Any]:
    statistics = await collection.statistics()
    found = await recall(collection, given.questions)
    return {"recall": found, "stall_ms": loop.stall_ms()} | memory_of(statistics)


async def measure_erasing(data: Path, size: int, given: Given, loop: Loop) -> dict[str, Any]:
    """Seconds until nothing of one deleted document is in any file of a collection of many."""
    async with open_catalog(data) as catalog:
        collection = await catalog.get("turned")
        await store(collection, given.rows, range(await collection.count(), size))
        vector, word = grown(given.rows, [1], generation=77)[0], "xylotheque"
        secret = Document("secret", word, word, {}, (Passage(word, 0, len(word), vector),))
        await collection.upsert([secret])
        await tidy(collection)
        loop.stall_ms()
        started = time.perf_counter()
        await collection.delete(["secret"])
        await tidy(collection)
        elapsed = time.perf_counter() - started
        stall_ms = loop.stall_ms()
        traces = [word.encode(), vector.tobytes(), in_eight_bits(vector)]
        left = await asyncio.to_thread(holding, data, traces)
        return {"rows": size, "gone_s": elapsed, "stall_ms": stall_ms, "files_that_have_it": left}


def in_eight_bits(vector: Matrix) -> bytes:
    """As a graph keeps it."""
    step = np.abs(vector).max() / np.float32(127)
    codes: npt.NDArray[np.int8] = np.rint(vector / step).astype(np.int8)
    return codes.tobytes()


def holding(data: Path, traces: Sequence[bytes]) -> list[str]:
    files = [path for path in data.rglob("*") if path.is_file()]
    return [path.name for path in files if any(trace in path.read_bytes() for trace in traces)]


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, rows = machine(), QUICK if options.quick else FULL
    given = Given(*await embedded(options))
    with TemporaryDirectory() as folder:
        async with watched_loop() as loop:
            turned = await measure_turnovers(Path(folder), rows.turned, given, loop)
            erased = await measure_erasing(Path(folder), rows.erased_among, given, loop)
    goals = goals_of(turned, erased)
    print_goals(goals)
    figures: dict[str, Any] = {"turnovers": turned, "erasing": erased}
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"quick": options.quick, "dim": DIM, "k": K, "turnovers": TURNOVERS, "seed": SEED}
    write(options.out, figures, settings, before)


def goals_of(turned: Any, erased: Any) -> list[Goal]:
    last, fresh = turned["states"][-1], turned["fresh"]
    stall_ms = max(erased["stall_ms"], *(state["stall_ms"] for state in turned["states"]))
    return [
        Goal("recall lost in ten turnovers", fresh["recall"] - last["recall"], "at most", 0.01),
        Goal("memory after them", last["memory_bytes"] / fresh["memory_bytes"], "at most", 1.2),
        Goal("disk after them", last["disk_bytes"] / fresh["disk_bytes"], "at most", 1.3),
        Goal("deleted data gone", erased["gone_s"], "at most", 60.0, "s"),
        Goal("files that still have it", float(len(erased["files_that_have_it"])), "at most", 0.0),
        Goal("longest stall", stall_ms, "at most", 50.0, "ms"),
    ]


if __name__ == "__main__":
    asyncio.run(run(parse_options("upkeep", "What changes do to a collection.")))
