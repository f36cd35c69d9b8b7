"""The way to the nearest rows, with a graph that is asked and counted."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from index import dense, planner
from index.dense import nearest
from index.graph import GraphShape
from index.planner import Limits
from index.vectors import Keys, TableView, VectorTable

ROWS = 1_000
QUERY = np.array([1, 0], dtype=np.float32)


class CountedGraph:
    """Knows the best of the first ``count`` rows exactly; a row is the better, the lower its seq, and all
    those before it are compared on the way.
    """

    def __init__(self, count: int, *, quantised: bool = False) -> None:
        self.live = self.last_seq = count
        self.shape = GraphShape(2, "dot", quantised=quantised)
        self.asked: list[tuple[int, Limits | None]] = []

    async def search(
        self,
        queries: np.ndarray,
        count: int,
        ef: int,
        among: Keys | None = None,
        limits: Limits | None = None,
        *,
        then: Callable[[Sequence[Keys | None]], Any],
    ) -> Any:
        assert ef >= count
        assert (among is None) == (limits is None)
        self.asked.append((count, limits))
        known = np.arange(1, self.live + 1) if among is None else among[among <= self.live]
        gave_up = limits and known[:count].max(initial=0) > limits.most
        return then([None if gave_up else known[:count] for _ in queries])


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> VectorTable:
    """Rows whose scores fall from 1 to 0; the graph costs next to nothing."""
    monkeypatch.setattr(planner, "ROWS_PER_COMPARED", 0.001)
    monkeypatch.setattr(planner, "MIN_EF", 1)
    made = VectorTable(2, "dot")
    numbers = np.arange(1, ROWS + 1)
    made.append(numbers, numbers, np.stack([1 - numbers / ROWS, numbers], axis=1).astype(np.float32))
    return made


async def found(
    view: TableView, graph: CountedGraph, k: int = 5, *, filtered: bool = True
) -> tuple[list[int], str]:
    [near] = await nearest(view, graph, QUERY[np.newaxis], k, filtered=filtered, join=len)  # type: ignore[arg-type]
    assert near.joined == (1 if near.plan == "graph" else None)
    return near.ranking.seqs.tolist(), near.plan


async def test_without_a_filter_the_graph_is_asked_for_k_without_a_limit(table: VectorTable) -> None:
    graph = CountedGraph(ROWS)
    assert await found(table.view(), graph, filtered=False) == ([1, 2, 3, 4, 5], "graph")
    assert graph.asked == [(5, None)]


async def test_of_vectors_in_eight_bits_more_are_asked_for_and_scored(table: VectorTable) -> None:
    graph = CountedGraph(ROWS, quantised=True)
    assert await found(table.view(), graph, filtered=False) == ([1, 2, 3, 4, 5], "graph")
    assert graph.asked == [(15, None)]


async def test_under_a_filter_the_graph_finds_what_matches(table: VectorTable) -> None:
    graph = CountedGraph(ROWS)
    view = table.view().of_documents(np.array([7, *range(30, ROWS)]))
    assert await found(view, graph) == ([7, 30, 31, 32, 33], "graph")
    ((count, limits),) = graph.asked
    assert count == 5
    assert limits is not None


async def test_where_nothing_near_matches_the_matches_are_scored(
    table: VectorTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "PATIENCE", 1e-4)
    graph = CountedGraph(ROWS)
    view = table.view().of_documents(np.arange(700, ROWS + 1))
    assert await found(view, graph) == ([700, 701, 702, 703, 704], "graph-exact")
    assert len(graph.asked) == 1


async def test_rows_that_the_graph_lacks_are_scored_beside_it(table: VectorTable) -> None:
    graph = CountedGraph(ROWS - 10)
    view = table.view().of_documents(np.array([1, 2, 3, *range(900, 905), ROWS - 5, ROWS - 4]))
    seqs, plan = await found(view, graph, k=10)
    assert seqs == [1, 2, 3, *range(900, 905), ROWS - 5, ROWS - 4]
    assert plan == "exact"  # fewer than ten are in the graph, and it would have to keep ten
    seqs, plan = await found(view, graph, k=4)
    assert (seqs, plan) == ([1, 2, 3, 900], "graph")


async def test_a_graph_that_reaches_too_few_is_not_believed(table: VectorTable) -> None:
    graph = CountedGraph(ROWS)
    graph.live = 3  # the others cannot be reached
    graph.last_seq = ROWS
    assert await found(table.view(), graph, filtered=False) == ([1, 2, 3, 4, 5], "graph-exact")


async def test_a_costly_graph_is_not_asked(table: VectorTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "ROWS_PER_COMPARED", 10**6)
    graph = CountedGraph(ROWS)
    assert await found(table.view(), graph) == ([1, 2, 3, 4, 5], "exact")
    assert graph.asked == []


@pytest.mark.parametrize("limits", [(0, 10**9), (0, 0)])
async def test_large_scans_in_threads_find_the_same(
    table: VectorTable, monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int]
) -> None:
    monkeypatch.setattr(dense, "INLINE_NUMBERS", limits[0])
    monkeypatch.setattr(dense, "SHARED_NUMBERS", limits[1])
    for view in (table.view(), table.view().of_documents(np.array([1, 2, 3, 4, 5, 999]))):
        [near] = await nearest(view, None, QUERY[np.newaxis], 5, join=len)
        assert (near.ranking.seqs.tolist(), near.plan) == ([1, 2, 3, 4, 5], "exact")


async def test_of_several_queries_each_is_answered_and_all_are_joined_at_once(table: VectorTable) -> None:
    queries = np.stack([QUERY, -QUERY])
    view, graph = table.view(), CountedGraph(ROWS - 1)
    first, second = await nearest(view, graph, queries, 3, join=len)  # type: ignore[arg-type]
    assert first.ranking.seqs.tolist() == [1, 2, 3]
    # What the graph lacks is looked at for each, and is the best for this one.
    assert second.ranking.seqs.tolist() == [ROWS, 3, 2]
    assert (first.joined, second.joined) == (2, 2)
