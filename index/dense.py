"""The rows nearest to a vector: all of them scored, or the graph asked and what it lacks scored."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from index import planner
from index.graph import Graph
from index.rows import Vector
from index.vectors import Keys, Ranking, TableView, best

T = TypeVar("T")

# Numbers in a scan that the event loop can do in passing: about 0.2 ms, less than a thread costs to a busy
# loop.
INLINE_NUMBERS: Final = 3_000_000
# From so many numbers on, about 2 ms, a scan is shared by two threads.
SHARED_NUMBERS: Final = 10 * INLINE_NUMBERS
_SCANNING_THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Nearest(Generic[T]):
    """The rows that were found; and how: "exact", "graph", or "graph-exact", if the graph was asked in vain.

    ``joined`` is what was made of them on the graph's thread, if it found them.
    """

    ranking: Ranking
    plan: str
    joined: T | None = None


async def nearest(
    view: TableView,
    graph: Graph | None,
    query: Vector,
    k: int,
    *,
    filtered: bool = False,
    join: Callable[[Ranking], T | None],
) -> Nearest[T]:
    """The ``min(k, len(view))`` nearest rows.

    ``filtered`` says that the view has only some of the table's rows. ``join`` is called with what the graph
    finds, on its thread.
    """
    tried = False
    if graph is not None:
        found, tried = await _through_graph(view, graph, query, k, filtered=filtered, join=join)
        if found is not None:
            return found
    return Nearest(await _scan(view, query, k), "graph-exact" if tried else "exact")


async def _through_graph(
    view: TableView,
    graph: Graph,
    query: Vector,
    k: int,
    *,
    filtered: bool,
    join: Callable[[Ranking], T | None],
) -> tuple[Nearest[T] | None, bool]:
    """The graph's candidates that are in the view, and the rows that it lacks; None where a scan is
    better. And whether the graph was asked.
    """
    last_seq = graph.last_seq
    tail = view.after(last_seq)
    matches = len(view) - len(tail)
    candidates = planner.candidates_to_fetch(k, quantised=graph.shape.quantised)
    ef = planner.ef_of(candidates)
    scan = planner.scan_cost(matches, view.rows)
    limits = planner.limits_of(ef, matches, graph.live, scan)
    if limits is None:
        return None, False

    def rank(seqs: Keys | None) -> Nearest[T] | None:
        if seqs is None:
            return None
        # The graph may have grown into the tail meanwhile.
        ranking = view.scores_of(seqs[seqs <= last_seq], query)
        if len(ranking) < min(k, matches):
            return None
        ranking = best([ranking, tail.top(query, k)], k) if len(tail) else ranking.first(k)
        return Nearest(ranking, "graph", join(ranking))

    if filtered:
        return await graph.search(query, candidates, ef, view.seqs(), limits, then=rank), True
    return await graph.search(query, candidates, ef, then=rank), True


async def _scan(view: TableView, query: Vector, k: int) -> Ranking:
    numbers = planner.scan_cost(len(view), view.rows) * len(query)
    if numbers <= INLINE_NUMBERS:
        return view.top(query, k)
    if numbers <= SHARED_NUMBERS:
        return await asyncio.to_thread(view.top, query, k)
    return await asyncio.to_thread(view.top, query, k, _SCANNING_THREADS)
