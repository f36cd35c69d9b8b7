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


async def nearest(view: TableView, graph: Graph | None, query: Vector, k: int) -> tuple[Ranking, str]:
    """The ``min(k, len(view))`` nearest rows and how they were found: "exact" or "graph"."""
    if graph is not None and (ranking := await _through_graph(view, graph, query, k)) is not None:
        return ranking, "graph"
    if view.rows * len(query) <= INLINE_NUMBERS:
        return view.top(query, k), "exact"
    return await asyncio.to_thread(view.top, query, k), "exact"


async def _through_graph(view: TableView, graph: Graph, query: Vector, k: int) -> Ranking | None:
    """The graph's candidates that are in the view, and the rows that it lacks; None where a scan is
    better.
    """
    last_seq = graph.last_seq
    tail = view.after(last_seq)
    matches = len(view)
    wanted = min(k, matches - len(tail))
    candidates = planner.candidates_to_fetch(k, matches, graph.live)
    while planner.graph_pays(candidates, graph.live, matches - len(tail)):
        seqs = await graph.search(query, candidates, planner.MIN_EF)
        if seqs is None:
            return None
        # The graph may have grown into the tail meanwhile.
        known = view.scores_of(seqs[seqs <= last_seq], query)
        if len(known) >= wanted:
            fresh = tail.top(query, k)
            return best([known, fresh], k)
        candidates *= 2
    return None
