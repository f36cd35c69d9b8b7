"""What a store finds and how fast it answers, and what its code costs over the bare client of its engine."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from harness.comparison import ratio, take_turns
from harness.grown import Matrix
from harness.metrics import percentiles_ms
from harness.stores import ONE_CALL, Bare, Filled
from harness.vector_load import mean_recall
from harness.vector_rows import K
from index.rows import Query
from index.store import Store

CLIENTS = (1, 8)
_OURS = "store"
Ask = Callable[[Matrix], Awaitable[object]]
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
    if filled.bare:
        figures["bare"] = await _beside(store, filled.bare, questions[:COMPARED], turns.rounds)
        bare = [await filled.bare[ONE_CALL](question) for question in questions]
        figures["bare"][ONE_CALL]["recall"] = mean_recall(bare, expected)
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


async def _beside(
    store: Store, bare: Mapping[str, Bare], questions: Matrix, rounds: int
) -> dict[str, dict[str, float]]:
    """How much longer a search takes than without the store, one at a time, in turns: of each round the
    median, and of these.
    """

    async def ours(question: Matrix) -> object:
        return await _search(store, question)

    for ask in bare.values():
        await _median_s(ask, questions)  # what is learnt the first time is learnt
    sides = {_OURS: partial(_round_of, ours, questions)}
    sides |= {name: partial(_round_of, ask, questions) for name, ask in bare.items()}
    times = await take_turns(sides, rounds)
    return {
        name: {
            "store_ms": 1000 * statistics.median(times[_OURS]),
            "bare_ms": 1000 * statistics.median(times[name]),
            "over": ratio(times[_OURS], times[name]) - 1,
        }
        for name in bare
    }


async def _round_of(ask: Ask, questions: Matrix, _number: int) -> float:
    return await _median_s(ask, questions)


async def _median_s(ask: Ask, questions: Matrix) -> float:
    took = []
    for question in questions:
        began = time.perf_counter()
        await ask(question)
        took.append(time.perf_counter() - began)
    return statistics.median(took)
