"""What a store finds and how fast it answers, and what its code costs over the bare client of its engine."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.comparison import take_turns
from harness.grown import Matrix
from harness.metrics import percentiles_ms
from harness.stores import Bare, Filled
from harness.vector_load import mean_recall
from harness.vector_rows import K
from index.rows import Query
from index.store import Store

CLIENTS = (1, 8)
COMPARED = 50
"""So many questions are asked of the store and of the bare client in each round."""


@dataclass(frozen=True, slots=True)
class Turns:
    """``rounds``, in each of which a load takes so many ``seconds``, and all questions are asked once."""

    rounds: int
    seconds: float


def nearest(vectors: Matrix, questions: Matrix) -> list[list[int]]:
    """The numbers of the K rows nearest to each question, by numpy."""
    return [[int(row) for row in np.argsort(-(vectors @ question))[:K]] for question in questions]


async def measured(
    filled: Filled, questions: Matrix, expected: list[list[int]], turns: Turns
) -> dict[str, Any]:
    """Recall, searches a second and latencies; beside the bare client, where there is one."""
    store = filled.store
    found = [[hit.id for hit in (await _search(store, question)).hits] for question in questions]
    figures: dict[str, Any] = {
        "recall": mean_recall(found, expected),
        "short_answers": sum(len(ids) < K for ids in found),
    }
    for clients in CLIENTS:
        rounds = [await _load(store, questions, clients, turns.seconds) for _ in range(turns.rounds)]
        seconds = list(itertools.chain.from_iterable(rounds))
        per_s = statistics.median(len(each) / turns.seconds for each in rounds)
        figures[f"{clients} clients"] = {"per_s": per_s} | percentiles_ms(seconds)
    if filled.bare is not None:
        bare = [await filled.bare(question) for question in questions]
        figures["bare_recall"] = mean_recall(bare, expected)
        figures |= await _overhead(store, filled.bare, questions[:COMPARED], turns.rounds)
    return figures


async def _search(store: Store, question: Matrix) -> Any:
    return await store.search(Query(K, vector=question))


async def _load(store: Store, questions: Matrix, clients: int, seconds: float) -> list[float]:
    """How long each search took that was answered in time."""
    numbers, until = itertools.count(), time.perf_counter() + seconds
    took: list[float] = []

    async def client() -> None:
        while (began := time.perf_counter()) < until:
            await _search(store, questions[next(numbers) % len(questions)])
            took.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return took


async def _overhead(store: Store, bare: Bare, questions: Matrix, rounds: int) -> dict[str, Any]:
    """How much longer a search takes than the bare client's, one at a time, in turns: the median of the
    rounds' medians.
    """

    async def ours(question: Matrix) -> object:
        return await _search(store, question)

    sides = {
        "store": lambda _round: _medians(ours, questions),
        "bare": lambda _round: _medians(bare, questions),
    }
    times = await take_turns(sides, rounds)
    ratios = [a / b for a, b in zip(times["store"], times["bare"], strict=True)]
    return {
        "store_ms": 1000 * statistics.median(times["store"]),
        "bare_ms": 1000 * statistics.median(times["bare"]),
        "over_bare": statistics.median(ratios) - 1,
    }


async def _medians(ask: Callable[[Matrix], Awaitable[object]], questions: Matrix) -> float:
    took = []
    for question in questions:
        began = time.perf_counter()
        await ask(question)
        took.append(time.perf_counter() - began)
    return statistics.median(took)
