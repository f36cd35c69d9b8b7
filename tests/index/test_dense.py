"""The way to the nearest rows under a filter, with a graph that is asked and counted."""

import numpy as np
import pytest

from index import planner
from index.dense import nearest
from index.vectors import Keys, TableView, VectorTable

ROWS = 1_000
QUERY = np.array([1, 0], dtype=np.float32)


class CountedGraph:
    """Knows the best of the first ``count`` rows exactly; a row is the better, the lower its seq."""

    def __init__(self, count: int) -> None:
        self.live = self.last_seq = count
        self.asked: list[int] = []

    async def search(self, _query: np.ndarray, k: int, ef: int) -> Keys:
        assert ef >= k
        self.asked.append(k)
        return np.arange(1, k + 1)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> VectorTable:
    """Rows whose scores fall from 1 to 0; the graph costs next to nothing."""
    monkeypatch.setattr(planner, "ROWS_PER_CANDIDATE", 0.01)
    made = VectorTable(2, "dot")
    numbers = np.arange(1, ROWS + 1)
    made.append(numbers, numbers, np.stack([1 - numbers / ROWS, numbers], axis=1).astype(np.float32))
    return made


async def found(view: TableView, graph: CountedGraph, k: int = 5) -> tuple[list[int], str]:
    ranking, plan = await nearest(view, graph, QUERY, k)  # type: ignore[arg-type]
    return ranking.seqs.tolist(), plan


async def test_without_a_filter_the_graph_is_asked_for_k(table: VectorTable) -> None:
    graph = CountedGraph(ROWS)
    assert await found(table.view(), graph) == ([1, 2, 3, 4, 5], "graph")
    assert graph.asked == [5]


async def test_a_graph_that_has_too_few_is_asked_for_more(table: VectorTable) -> None:
    graph = CountedGraph(ROWS)
    view = table.view().of_documents(np.array([7, *range(30, ROWS)]))
    assert await found(view, graph) == ([7, 30, 31, 32, 33], "graph")
    assert graph.asked[0] < 33 <= graph.asked[-1]
    assert len(graph.asked) == 2


async def test_where_nothing_near_matches_the_matches_are_scored(table: VectorTable) -> None:
    graph = CountedGraph(ROWS)
    view = table.view().of_documents(np.arange(500, ROWS + 1))
    assert await found(view, graph) == ([500, 501, 502, 503, 504], "graph-exact")
    assert len(graph.asked) == 1


async def test_rows_that_the_graph_lacks_are_scored_beside_it(table: VectorTable) -> None:
    graph = CountedGraph(ROWS - 10)
    view = table.view().of_documents(np.array([1, 2, 3, ROWS - 5, ROWS - 4]))
    seqs, _ = await found(view, graph)
    assert seqs == [1, 2, 3, ROWS - 5, ROWS - 4]


async def test_a_costly_graph_is_not_asked(table: VectorTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "ROWS_PER_CANDIDATE", 10**6)
    graph = CountedGraph(ROWS)
    assert await found(table.view(), graph) == ([1, 2, 3, 4, 5], "exact")
    assert graph.asked == []
