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
    """The ``min(k, len(view))`` nearest rows and how they were found: "exact", "graph", or "graph-exact",
    if the graph was asked and had too few that count.
    """
    tried = False
    if graph is not None:
        ranking, tried = await _through_graph(view, graph, query, k)
        if ranking is not None:
            return ranking, "graph"
    plan = "graph-exact" if tried else "exact"
    if planner.scan_cost(len(view), view.rows) * len(query) <= INLINE_NUMBERS:
        return view.top(query, k), plan
    return await asyncio.to_thread(view.top, query, k), plan


async def _through_graph(view: TableView, graph: Graph, query: Vector, k: int) -> tuple[Ranking | None, bool]:
    """The graph's candidates that are in the view, and the rows that it lacks; None where a scan is
    better. And whether the graph was asked.
    """
    last_seq = graph.last_seq
    tail = view.after(last_seq)
    matches = len(view)
    wanted = min(k, matches - len(tail))
    filtered = matches < graph.live
    scan = planner.scan_cost(matches - len(tail), view.rows)
    candidates, tried = planner.candidates_to_fetch(k, matches, graph.live), False
    while planner.graph_pays(
        ef := planner.ef_of(candidates, filtered=filtered), candidates, graph.live, scan
    ):
        seqs = await graph.search(query, candidates, ef)
        if seqs is None:
            break
        # The graph may have grown into the tail meanwhile.
        known, tried = view.scores_of(seqs[seqs <= last_seq], query), True
        if len(known) >= wanted:
            return best([known, tail.top(query, k)], k), tried
        if not len(known):
            break  # what matches is far away
        candidates = planner.more_candidates(candidates, len(known), wanted)
        # Where one attempt failed another one may, and what both cost comes on top of the scan.
        scan //= 2
    return None, tried
