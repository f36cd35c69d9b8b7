"""hnswlib's traps, and how the graph answers them."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hnswlib
import numpy as np
import pytest

from index.graph import Graph, GraphShape

DIM = 8
SHAPE = GraphShape(DIM, "cosine", m=8, ef_construction=60)


def unit_rows(count: int) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    executor = ThreadPoolExecutor(max_workers=1)
    yield Graph(SHAPE, executor)
    executor.shutdown()


async def add(graph: Graph, first: int, rows: np.ndarray) -> None:
    seqs = np.arange(first, first + len(rows), dtype=np.int64)
    await graph.add(seqs, rows, int(seqs[-1]))


async def test_asking_for_more_than_there_is_gives_what_there_is(graph: Graph) -> None:
    rows = unit_rows(5)
    assert len(await graph.search(rows[0], 10, 50)) == 0
    await add(graph, 1, rows)
    assert sorted(await graph.search(rows[0], 10, 50)) == [1, 2, 3, 4, 5]


async def test_deleted_labels_are_not_counted_and_not_found(graph: Graph) -> None:
    rows = unit_rows(20)
    await add(graph, 1, rows)
    await graph.forget(np.arange(1, 16))
    assert (graph.count, graph.deleted, graph.live) == (20, 15, 5)
    assert sorted(await graph.search(rows[0], 20, 50)) == [16, 17, 18, 19, 20]


async def test_forgetting_twice_or_what_is_not_there_is_no_error(graph: Graph) -> None:
    await add(graph, 1, unit_rows(3))
    await graph.forget(np.array([2, 2, 99]))
    await graph.forget(np.array([2]))
    assert graph.deleted == 1


async def test_the_graph_grows_beyond_its_first_size(graph: Graph) -> None:
    rows = unit_rows(3000)
    for start in range(0, 3000, 300):
        await add(graph, start + 1, rows[start : start + 300])
    assert graph.live == 3000
    assert (await graph.search(rows[2500], 1, 100)).tolist() == [2501]


async def test_a_loaded_graph_searches_as_well_as_the_saved_one(graph: Graph, tmp_path: Path) -> None:
    rows = unit_rows(2000)
    await add(graph, 1, rows)
    await graph.forget(np.array([1, 2]))
    await graph.save(tmp_path / "graph")
    loaded = Graph(SHAPE, graph._executor)
    await loaded.load(tmp_path / "graph", 2000)
    assert loaded._index.ef == 10  # what hnswlib falls back to
    for row in rows[10:30]:
        assert (await loaded.search(row, 10, 100)).tolist() == (await graph.search(row, 10, 100)).tolist()
    assert loaded._index.ef == 100
    assert 1 not in await loaded.search(rows[0], 10, 100)
    await add(loaded, 2001, unit_rows(500))
    assert (loaded.count, loaded.last_seq) == (2500, 2500)


async def test_wear_shows_above_a_fifth(graph: Graph) -> None:
    await add(graph, 1, unit_rows(100))
    await graph.forget(np.arange(1, 21))
    assert not graph.is_worn
    await graph.forget(np.array([21]))
    assert graph.is_worn


async def test_where_hnswlib_cannot_fill_k_the_graph_says_so(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(graph, 1, unit_rows(5))
    graph.count = 50  # as after counting wrongly: 45 that cannot be reached
    assert await graph.search(unit_rows(1)[0], 20, 50) is None


async def test_a_closed_graph_says_so(graph: Graph) -> None:
    await add(graph, 1, unit_rows(5))
    graph._executor.shutdown()
    assert await graph.search(unit_rows(1)[0], 2, 50) is None


def test_hnswlib_still_does_what_the_graph_guards_against(tmp_path: Path) -> None:
    index = hnswlib.Index(space="ip", dim=DIM)
    index.init_index(max_elements=10)
    index.add_items(unit_rows(5), np.arange(5))
    with pytest.raises(RuntimeError):
        index.knn_query(unit_rows(1), k=6)
    index.mark_deleted(1)
    with pytest.raises(RuntimeError):
        index.mark_deleted(1)
    with pytest.raises(RuntimeError):
        index.mark_deleted(77)
    assert index.get_current_count() == 5
    index.set_ef(200)
    index.save_index(str(tmp_path / "graph"))
    loaded = hnswlib.Index(space="ip", dim=DIM)
    loaded.load_index(str(tmp_path / "graph"))
    assert loaded.ef == 10
