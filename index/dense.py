"""The rows nearest to a vector: all of them scored, or the graph asked and what it lacks scored."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from index import planner
from index.graph import Graph
from index.rows import Vector
from index.vectors import Keys, Ranking, TableView, best

T = TypeVar("T")

# Numbers in a scan that the event loop can do in passing: 0.2 to 1 ms, not more than a thread costs to a busy
# loop.
INLINE_NUMBERS: Final = 3_000_000
# From so many numbers on, 2 to 3 ms, a scan is shared by two threads.
SHARED_NUMBERS: Final = 3 * INLINE_NUMBERS
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
    queries: Vector,
    k: int,
    *,
    filtered: bool = False,
    join: Callable[[Sequence[Ranking]], T | None],
) -> list[Nearest[T]]:
    """The ``min(k, len(view))`` rows nearest to each of ``queries`` (n, dim).

    ``filtered`` says that the view has only some of the table's rows. ``join`` is called with all that the
    graph finds, on its thread.
    """
    found, plan = None, "exact"
    if graph is not None:
        found = await _through_graph(view, graph, queries, k, filtered=filtered, join=join)
        plan = "exact" if found is None else "graph-exact"
    return [
        one or Nearest(await _scan(view, query, k), plan)
        for one, query in zip(found or [None] * len(queries), queries, strict=True)
    ]


async def _through_graph(
    view: TableView,
    graph: Graph,
    queries: Vector,
    k: int,
    *,
    filtered: bool,
    join: Callable[[Sequence[Ranking]], T | None],
) -> list[Nearest[T] | None] | None:
    """The graph's candidates that are in the view, and the rows that it lacks; None where a scan is
    better. None for all if that is so from the start.
    """
    last_seq = graph.last_seq
    tail = view.after(last_seq)
    matches = len(view) - len(tail)
    candidates = planner.candidates_to_fetch(k, quantised=graph.shape.quantised)
    ef = planner.ef_of(candidates, graph.live)
    scan = planner.scan_cost(matches, view.rows, view.coded)
    limits = planner.limits_of(ef, matches, graph.live, scan)
    if limits is None:
        return None

    def rank(seqs: Keys, query: Vector) -> Ranking | None:
        # The graph may have grown into the tail meanwhile.
        ranking = view.scores_of(seqs[seqs <= last_seq], query)
        if len(ranking) < min(k, matches):
            return None
        return best([ranking, tail.top(query, k)], k) if len(tail) else ranking.first(k)

    def rank_and_join(found: Sequence[Keys | None]) -> list[Nearest[T] | None]:
        rankings = [
            None if seqs is None else rank(seqs, query) for seqs, query in zip(found, queries, strict=True)
        ]
        known = [ranking for ranking in rankings if ranking is not None]
        joined = join(known) if known else None
        return [None if ranking is None else Nearest(ranking, "graph", joined) for ranking in rankings]

    if filtered:
        return await graph.search(queries, candidates, ef, view.seqs(), limits, then=rank_and_join)
    return await graph.search(queries, candidates, ef, then=rank_and_join)


async def _scan(view: TableView, query: Vector, k: int) -> Ranking:
    numbers = planner.scan_cost(len(view), view.rows) * len(query)
    if numbers <= INLINE_NUMBERS:
        return view.top(query, k)
    if numbers <= SHARED_NUMBERS:
        return await asyncio.to_thread(view.top, query, k)
    return await asyncio.to_thread(view.top, query, k, _SCANNING_THREADS)
