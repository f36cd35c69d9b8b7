"""hnswlib's file, read and changed without hnswlib."""

from pathlib import Path

import hnswlib
import numpy as np
import pytest

from index import graph_file

DIM = 5
COUNT = 300


def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Labels from 1000 on; the first ten are deleted."""
    index = hnswlib.Index("l2", DIM)
    index.init_index(COUNT * 2, M=8, ef_construction=50, random_seed=1)
    index.add_items(rows(), np.arange(1000, 1000 + COUNT), num_threads=1)
    for label in range(1000, 1010):
        index.mark_deleted(label)
    path = tmp_path / "graph"
    index.save_index(str(path))
    return path


def opened(path: Path) -> hnswlib.Index:
    index = hnswlib.Index("l2", DIM)
    index.load_index(str(path))
    index.set_ef(COUNT)
    return index


def test_vectors_of_deleted_rows_leave_the_file(stored: Path) -> None:
    assert rows()[3].tobytes() in stored.read_bytes()
    assert graph_file.erase_gone(stored)
    content = stored.read_bytes()
    assert not any(rows()[n].tobytes() in content for n in range(10))
    assert all(rows()[n].tobytes() in content for n in range(10, COUNT))


def test_rows_that_are_no_longer_alive_are_deleted_with_them(stored: Path) -> None:
    live = np.arange(1050, 1000 + COUNT)
    assert graph_file.erase_gone(stored, live)
    content = stored.read_bytes()
    assert not any(rows()[n].tobytes() in content for n in range(50))
    found, _ = opened(stored).knn_query(rows()[:50], k=10)
    assert (found >= 1050).all()


def test_searches_reach_as_much_as_before(stored: Path) -> None:
    live = np.arange(1000, 1000 + COUNT)[np.arange(COUNT) % 5 > 0]
    index = opened(stored)
    for label in set(range(1010, 1000 + COUNT)) - set(live.tolist()):
        index.mark_deleted(label)
    before, _ = index.knn_query(rows()[live[live >= 1010] - 1000], k=10)
    graph_file.erase_gone(stored, live[live >= 1010])
    after, _ = opened(stored).knn_query(rows()[live[live >= 1010] - 1000], k=10)
    np.testing.assert_array_equal(before, after)


def test_where_no_neighbour_is_alive_nothing_stands_in(stored: Path) -> None:
    graph_file.erase_gone(stored, np.array([], dtype=np.int64))
    content = stored.read_bytes()
    assert not any(row.tobytes() in content for row in rows())
    assert sorted(opened(stored).get_ids_list()) == list(range(1000, 1000 + COUNT))


def test_a_file_without_deleted_rows_stays_as_it_is(stored: Path) -> None:
    graph_file.erase_gone(stored)
    index = opened(stored)
    for label in range(1000, 1010):
        index.unmark_deleted(label)
    index.save_index(str(stored))
    before = stored.read_bytes()
    assert not graph_file.erase_gone(stored)
    assert stored.read_bytes() == before


@pytest.mark.parametrize("content", [b"\x01" * 50, b"\x00" * 96, b"\x07" * 4000])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "graph").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - numpy and we both say it
        graph_file.erase_gone(tmp_path / "graph")


def test_a_file_cut_short_is_refused(stored: Path) -> None:
    stored.write_bytes(stored.read_bytes()[:2000])
    with pytest.raises(ValueError, match="too short"):
        graph_file.erase_gone(stored)
