"""The rows nearest to a vector: all of them scored, or the graph asked and what it lacks scored."""

import asyncio
from typing import Final

from index import planner
from index.graph import Graph
from index.rows import Vector
from index.vectors import Ranking, TableView, best

# Numbers in a scan that the event loop can do in passing: about 0.2 ms, less than a thread costs to a busy
# loop.
INLINE_NUMBERS: Final = 3_000_000
# From so many numbers on, about 2 ms, a scan is shared by two threads.
SHARED_NUMBERS: Final = 10 * INLINE_NUMBERS
_SCANNING_THREADS: Final = 2


async def nearest(
    view: TableView, graph: Graph | None, query: Vector, k: int, *, filtered: bool = False
) -> tuple[Ranking, str]:
    """The ``min(k, len(view))`` nearest rows and how they were found: "exact", "graph", or "graph-exact",
    if the graph was asked in vain.

    ``filtered`` says that the view has only some of the table's rows.
    """
    tried = False
    if graph is not None:
        ranking, tried = await _through_graph(view, graph, query, k, filtered=filtered)
        if ranking is not None:
            return ranking, "graph"
    return await _scan(view, query, k), "graph-exact" if tried else "exact"


async def _through_graph(
    view: TableView, graph: Graph, query: Vector, k: int, *, filtered: bool
) -> tuple[Ranking | None, bool]:
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
    if filtered:
        seqs = await graph.search(query, candidates, ef, view.seqs(), limits)
    else:
        seqs = await graph.search(query, candidates, ef)
    if seqs is None:
        return None, True
    # The graph may have grown into the tail meanwhile.
    known = view.scores_of(seqs[seqs <= last_seq], query)
    if len(known) < min(k, matches):
        return None, True
    if not len(tail):
        return known.first(k), True
    return best([known, tail.top(query, k)], k), True


async def _scan(view: TableView, query: Vector, k: int) -> Ranking:
    numbers = planner.scan_cost(len(view), view.rows) * len(query)
    if numbers <= INLINE_NUMBERS:
        return view.top(query, k)
    if numbers <= SHARED_NUMBERS:
        return await asyncio.to_thread(view.top, query, k)
    return await asyncio.to_thread(view.top, query, k, _SCANNING_THREADS)
