"""The graph against numpy, beside itself, and where hnswlib's traps are."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import pytest

from index.graph import Graph, GraphShape
from index.one_thread import OneThread
from index.planner import Limits
from index.rows import Metric
from index.vectors import Keys

DIM = 8
SHAPE = GraphShape(DIM, "cosine", m=8, ef_construction=60)


def unit_rows(count: int, dim: int = DIM) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
async def thread() -> AsyncIterator[OneThread]:
    made = OneThread("graphs")
    yield made
    await made.close()


@pytest.fixture
async def graph(thread: OneThread) -> Graph:
    return Graph(SHAPE, thread)


async def add(graph: Graph, first: int, rows: np.ndarray) -> None:
    seqs = np.arange(first, first + len(rows), dtype=np.int64)
    await graph.add(seqs, rows, int(seqs[-1]))


def first(found: Sequence[Keys | None]) -> Keys | None:
    [one] = found
    return one


async def found(graph: Graph, query: np.ndarray, *question: Any, **more: Any) -> list[int]:
    seqs = await graph.search(query[np.newaxis], *question, **more, then=first)
    assert seqs is not None
    return seqs.tolist()


async def test_asking_for_more_than_there_is_gives_what_there_is(graph: Graph) -> None:
    rows = unit_rows(5)
    assert await found(graph, rows[0], 10, 50) == []
    await add(graph, 1, rows)
    assert sorted(await found(graph, rows[0], 10, 50)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("dim", [1, 3, 31, 32, 33, 64, 100, 384, 1000])
@pytest.mark.parametrize("metric", ["dot", "l2"])
async def test_the_nearest_come_first(dim: int, metric: Metric, thread: OneThread) -> None:
    rows = np.random.default_rng(dim).normal(size=(200, dim)).astype(np.float32)
    graph = Graph(GraphShape(dim, metric), thread)
    await add(graph, 0, rows[1:])
    scores = rows[1:] @ rows[0] if metric == "dot" else -np.linalg.norm(rows[1:] - rows[0], axis=1)
    # In so few rows every one is kept, so nothing but the distances decides.
    assert await found(graph, rows[0], 20, 199) == np.argsort(-scores)[:20].tolist()


@pytest.mark.parametrize("dim", [31, 96, 384])
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
async def test_eight_bits_nearly_keep_the_order(dim: int, metric: Metric, thread: OneThread) -> None:
    rows = np.random.default_rng(dim).normal(size=(500, dim)).astype(np.float32)
    rows *= 1 if metric != "cosine" else 1 / np.linalg.norm(rows, axis=1, keepdims=True)
    graph = Graph(GraphShape(dim, metric, quantised=True), thread)
    await add(graph, 0, rows[1:])
    scores = rows[1:] @ rows[0] if metric != "l2" else -np.linalg.norm(rows[1:] - rows[0], axis=1)
    nearest = set(np.argsort(-scores)[:10].tolist())
    assert nearest <= set(await found(graph, rows[0], 20, 499))
    assert graph.memory_bytes < Graph.memory_bytes.fget(_alike(graph, thread, rows))  # type: ignore[attr-defined]


def _alike(graph: Graph, thread: OneThread, rows: np.ndarray) -> Graph:
    """The same rows, in float32."""
    other = Graph(GraphShape(graph.shape.dim, graph.shape.metric), thread)
    other._hnsw.add(rows[1:], np.arange(len(rows) - 1), 1)
    return other


async def test_a_vector_of_zeros_has_a_place_in_eight_bits(thread: OneThread) -> None:
    graph = Graph(GraphShape(DIM, "l2", quantised=True), thread)
    await add(graph, 1, np.concatenate([np.zeros((1, DIM), np.float32), unit_rows(5)]))
    assert await found(graph, np.zeros(DIM, np.float32), 1, 10) == [1]


async def test_deleted_labels_are_not_counted_and_not_found(graph: Graph) -> None:
    rows = unit_rows(20)
    await add(graph, 1, rows)
    await graph.forget(np.arange(1, 16))
    assert (graph.count, graph.deleted, graph.live) == (20, 15, 5)
    assert sorted(await found(graph, rows[0], 20, 50)) == [16, 17, 18, 19, 20]


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
    assert await found(graph, rows[2500], 1, 100) == [2501]


async def test_rows_that_several_threads_add_are_all_found(graph: Graph) -> None:
    rows = unit_rows(3000)
    await graph.add(np.arange(1, 3001), rows, 3000, 4)
    assert (graph.count, graph.last_seq) == (3000, 3000)
    for number in range(0, 3000, 10):
        assert await found(graph, rows[number], 1, 100) == [number + 1]


async def test_many_searches_at_once_are_each_answered(graph: Graph) -> None:
    rows = unit_rows(500)
    await add(graph, 1, rows)
    searches = [asyncio.create_task(found(graph, row, 1, 50)) for row in rows[:100]]
    await asyncio.sleep(0)
    for search in searches[::3]:  # those who leave hold up nobody
        search.cancel()
    answers = await asyncio.gather(*searches, return_exceptions=True)
    kept = [number for number in range(100) if number % 3]
    assert [answers[number] for number in kept] == [[number + 1] for number in kept]


async def test_a_search_that_fails_tells_who_asked(graph: Graph) -> None:
    await add(graph, 1, unit_rows(5))
    outcomes = await asyncio.gather(
        graph.search(unit_rows(1, DIM + 1), 2, 50, then=first),
        graph.search(unit_rows(1), 2, 50, then=first),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], ValueError)
    assert len(outcomes[1]) == 2  # type: ignore[arg-type]


async def test_only_rows_among_those_named_are_found(graph: Graph) -> None:
    rows = unit_rows(2000)
    await add(graph, 1, rows)
    among = np.arange(7, 2000, 11)
    expected = among[np.argsort(-(rows[among - 1] @ rows[0]))[:10]]
    assert await found(graph, rows[0], 10, 200, among) == expected.tolist()
    assert await found(graph, rows[0], 10, 50, np.array([5, 10**12])) == [5]
    assert await found(graph, rows[0], 10, 50, np.array([], dtype=np.int64)) == []


async def test_a_search_that_compares_too_many_rows_is_given_up(graph: Graph) -> None:
    rows = unit_rows(2000)
    await add(graph, 1, rows)
    far = np.sort(np.argsort(rows @ rows[0])[:20] + 1)
    assert await graph.search(rows[:1], 10, 50, far, Limits(most=200), then=first) is None
    assert len(await found(graph, rows[0], 10, 50, far, Limits(most=2000))) == 10


async def test_a_search_that_finds_next_to_nothing_is_given_up_soon(graph: Graph) -> None:
    rows = unit_rows(3000)
    await add(graph, 1, rows)
    by_nearness = np.argsort(-(rows @ rows[0])) + 1
    near, far = np.sort(by_nearness[:1000]), np.sort(by_nearness[2000:])
    limits = Limits(least=0.03)
    assert len(await found(graph, rows[0], 10, 50, near, limits)) == 10
    assert await graph.search(rows[:1], 10, 50, far, limits, then=first) is None


async def test_a_loaded_graph_searches_as_well_as_the_saved_one(graph: Graph, tmp_path: Path) -> None:
    rows = unit_rows(2000)
    await add(graph, 1, rows)
    await graph.forget(np.array([1, 2]))
    await graph.save(tmp_path / "graph")
    loaded = Graph(SHAPE, graph._thread)
    await loaded.load(tmp_path / "graph", 2000)
    for row in rows[10:30]:
        assert await found(loaded, row, 10, 100) == await found(graph, row, 10, 100)
    assert 1 not in await found(loaded, rows[0], 10, 100)
    assert (await loaded.labels()).tolist() == list(range(1, 2001))
    await add(loaded, 2001, unit_rows(500))
    assert (loaded.count, loaded.deleted, loaded.last_seq) == (2500, 2, 2500)


async def test_searches_go_on_while_a_graph_is_saved(graph: Graph, tmp_path: Path) -> None:
    rows = unit_rows(3000)
    await add(graph, 1, rows)
    saving = [asyncio.create_task(graph.save(tmp_path / f"graph{n}")) for n in range(5)]
    for number in range(300):
        assert await found(graph, rows[number], 1, 50) == [number + 1]
    await asyncio.gather(*saving)
    assert len({(tmp_path / f"graph{n}").read_bytes() for n in range(5)}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
async def test_a_full_disk_is_noticed(graph: Graph) -> None:
    await add(graph, 1, unit_rows(100))
    with pytest.raises(RuntimeError, match="not written whole"):
        await graph.save(Path("/dev/full"))


async def test_a_file_of_other_vectors_is_refused(graph: Graph, tmp_path: Path) -> None:
    await add(graph, 1, unit_rows(100))
    await graph.save(tmp_path / "graph")
    for shape in (GraphShape(DIM + 1, "cosine"), GraphShape(DIM, "cosine", quantised=True)):
        with pytest.raises(RuntimeError, match="another kind"):
            await Graph(shape, graph._thread).load(tmp_path / "graph", 100)
    (tmp_path / "graph").write_bytes(b"")
    with pytest.raises(RuntimeError):
        await Graph(SHAPE, graph._thread).load(tmp_path / "graph", 100)
    with pytest.raises(RuntimeError):
        await Graph(SHAPE, graph._thread).load(tmp_path / "none", 100)


async def test_a_graph_that_hnswlib_itself_stored_is_loaded(graph: Graph, tmp_path: Path) -> None:
    rows = unit_rows(1000)
    index = hnswlib.Index(space="ip", dim=DIM)
    index.init_index(max_elements=1500, M=8, ef_construction=60)
    index.add_items(rows, np.arange(1, 1001))
    index.mark_deleted(4)
    index.save_index(str(tmp_path / "graph"))
    await graph.load(tmp_path / "graph", 1000)
    assert (graph.count, graph.deleted) == (1000, 1)
    index.set_ef(100)
    for row in rows[:20]:
        assert await found(graph, row, 10, 100) == index.knn_query(row, k=10)[0][0].tolist()


async def test_wear_shows_above_a_fifth(graph: Graph) -> None:
    await add(graph, 1, unit_rows(100))
    await graph.forget(np.arange(1, 21))
    assert not graph.is_worn
    await graph.forget(np.array([21]))
    assert graph.is_worn


async def test_a_closed_graph_says_so(graph: Graph) -> None:
    await add(graph, 1, unit_rows(5))
    await graph._thread.close()
    assert await graph.search(unit_rows(1), 2, 50, then=first) is None


async def test_arrays_that_do_not_fit_are_refused(graph: Graph) -> None:
    await add(graph, 1, unit_rows(5))
    labels, counts = np.empty(10, np.int64), np.empty(1, np.int64)
    with pytest.raises(ValueError, match="fit"):
        graph._hnsw.search(np.zeros(DIM - 1, np.float32), 10, None, 100, 0.0, labels, counts)
    with pytest.raises(ValueError, match="as many"):
        graph._hnsw.add(np.zeros(DIM, np.float32), np.arange(2), 1)
    with pytest.raises(ValueError, match="room"):
        graph._hnsw.labels(np.empty(4, np.int64))
