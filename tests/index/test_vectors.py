"""The vector table against a dict and numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import vectors
from index.blocks import Block, without_gone
from index.upkeep import next_run
from index.vectors import VectorTable

DIM = 4


def exact_scores(rows: dict[int, np.ndarray], query: np.ndarray, metric: str) -> dict[int, float]:
    if metric == "l2":
        return {seq: -float(np.linalg.norm(row - query)) for seq, row in rows.items()}
    return {seq: float(row @ query) for seq, row in rows.items()}


def unit_rows(count: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 12)),
        st.tuples(st.just("remove"), st.sets(st.integers(0, 80), max_size=12)),
    ),
    max_size=12,
)


@given(steps=steps, metric=st.sampled_from(["cosine", "dot", "l2"]), k=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_the_table_finds_what_a_dict_has(steps: list, metric: str, k: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "BLOCK_ROWS", 8)
        table, rows, documents, newest = VectorTable(DIM, metric), {}, {}, 0
        for what, value in steps:
            if what == "remove":
                table.remove(np.array(sorted(value, reverse=True), dtype=np.int64))
                while run := next_run(table.full_blocks, 10**9):
                    table.replace(run, without_gone(run))
                rows = {seq: row for seq, row in rows.items() if seq not in value}
                continue
            seqs = np.arange(newest + 2, newest + 2 + value, dtype=np.int64)
            new = unit_rows(value, newest)
            table.append(seqs, seqs // 3, new)
            rows |= dict(zip(seqs.tolist(), new, strict=True))
            documents |= {seq: seq // 3 for seq in seqs.tolist()}
            newest = int(seqs[-1]) if value else newest
        view, query = table.view(), unit_rows(1, 99)[0]
        scores = exact_scores(rows, query, metric)
        assert len(view) == len(rows)
        assert view.seqs().tolist() == sorted(rows)
        assert_ranked(view.top(query, k), scores, min(k, len(rows)))
        some = {seq: scores[seq] for seq in list(rows)[::2]}
        assert_ranked(view.scores_of(np.array([10_000, *reversed(some)]), query), some, len(some))
        chosen = {seq: scores[seq] for seq in rows if documents[seq] in (2, 5, 9)}
        found = view.of_documents(np.array([2, 5, 9])).top(query, k)
        assert_ranked(found, chosen, min(k, len(chosen)))
        assert view.after(newest // 2).seqs().tolist() == [seq for seq in sorted(rows) if seq > newest // 2]
        assert view.first(5)[0].tolist() == sorted(rows)[:5]


def assert_ranked(found: vectors.Ranking, scores: dict[int, float], count: int) -> None:
    assert len(found) == len(set(found.seqs.tolist())) == count
    np.testing.assert_allclose(found.scores, [scores[seq] for seq in found.seqs.tolist()], atol=1e-5)
    best = sorted(scores.values(), reverse=True)[:count]
    np.testing.assert_allclose(found.scores, best, atol=1e-5)


def test_equal_scores_come_in_order_of_seq() -> None:
    table = VectorTable(DIM, "dot")
    table.append(np.arange(1, 10), np.arange(1, 10), np.ones((9, DIM), dtype=np.float32))
    assert table.view().top(np.ones(DIM, dtype=np.float32), 4).seqs.tolist() == [1, 2, 3, 4]


def test_a_view_does_not_grow_and_sees_removals() -> None:
    table = VectorTable(DIM, "dot")
    table.append(np.array([1, 2]), np.array([1, 1]), unit_rows(2, 0))
    view = table.view()
    table.append(np.array([3]), np.array([2]), unit_rows(1, 1))
    table.remove(np.array([1]))
    assert view.seqs().tolist() == [2]


def test_the_newest_rows_are_counted_from_the_end() -> None:
    table = VectorTable(DIM, "dot")
    count = 2 * vectors.BLOCK_ROWS + 10
    table.append(np.arange(1, count + 1), np.arange(1, count + 1), unit_rows(count, 0))
    table.remove(np.arange(2 * vectors.BLOCK_ROWS + 1, 2 * vectors.BLOCK_ROWS + 6))
    view = table.view()
    assert view.newest(5).seqs().tolist() == list(range(count - 4, count + 1))
    assert view.newest(7).seqs().tolist()[:2] == [2 * vectors.BLOCK_ROWS - 1, 2 * vectors.BLOCK_ROWS]
    assert (len(view.newest(10**6)), view.newest(10**6).first_seq) == (len(view), 1)
    assert VectorTable(DIM, "dot").view().newest(5).first_seq == 0


def test_near_neighbours_far_from_the_origin_keep_their_order() -> None:
    table = VectorTable(2, "l2")
    rows = np.array([[10_000.0, 0.0], [10_000.25, 0.0]], dtype=np.float32)
    table.append(np.array([1, 2]), np.array([1, 2]), rows)
    found = table.view().top(np.array([10_000.25, 0.0], dtype=np.float32), 2)
    assert (found.seqs.tolist(), found.scores.tolist()) == ([2, 1], [0.0, -0.25])


def test_a_block_takes_the_place_of_those_it_was_made_from() -> None:
    table = VectorTable(DIM, "dot")
    count = 4 * vectors.BLOCK_ROWS
    rows = unit_rows(count, 0)
    table.append(np.arange(1, count + 1), np.arange(1, count + 1), rows)
    table.remove(np.arange(1, 2 * vectors.BLOCK_ROWS))
    run = table.full_blocks[:2]
    dense = without_gone(run)
    table.remove(np.array([count]))
    table.replace(run, dense)
    assert [len(block.seqs) for block in table.full_blocks] == [1, vectors.BLOCK_ROWS, vectors.BLOCK_ROWS]
    assert table.view().seqs().tolist() == list(range(2 * vectors.BLOCK_ROWS, count))
    assert table.view().scores_of(np.array([2 * vectors.BLOCK_ROWS]), rows[0]).scores == pytest.approx(
        rows[2 * vectors.BLOCK_ROWS - 1] @ rows[0]
    )


def test_what_goes_while_a_block_is_made_anew_does_not_come_back() -> None:
    table = VectorTable(DIM, "dot")
    table.append(
        np.arange(1, vectors.BLOCK_ROWS + 1), np.zeros(vectors.BLOCK_ROWS), unit_rows(vectors.BLOCK_ROWS, 0)
    )
    run = table.full_blocks
    dense = without_gone(run)
    table.remove(np.array([3]))
    table.replace(run, dense)
    assert len(table.view()) == vectors.BLOCK_ROWS - 1
    assert 3 not in table.view().seqs()


def test_blocks_of_which_nothing_is_left_go() -> None:
    table = VectorTable(DIM, "dot")
    table.append(
        np.arange(1, vectors.BLOCK_ROWS + 1), np.zeros(vectors.BLOCK_ROWS), unit_rows(vectors.BLOCK_ROWS, 0)
    )
    table.remove(np.arange(1, vectors.BLOCK_ROWS + 1))
    table.replace(table.full_blocks, without_gone(table.full_blocks))
    assert not table.full_blocks
    assert table.view().rows == 0


def test_whole_blocks_and_rows_come_one_behind_the_other() -> None:
    table = VectorTable(DIM, "dot")
    table.adopt(without_gone([_block(range(5, 9))]))
    table.append(np.array([20]), np.array([7]), unit_rows(1, 3))
    table.adopt(without_gone([_block(range(30, 34))]))
    assert table.last_seq == 33
    assert table.view().seqs().tolist() == [5, 6, 7, 8, 20, 30, 31, 32, 33]
    assert table.view().after(8).seqs().tolist() == [20, 30, 31, 32, 33]
    assert table.view().after(33).rows == 0


def _block(seqs: range) -> Block:
    keys = np.array(seqs, dtype=np.int64)
    return Block(unit_rows(len(keys), 1), keys, keys, np.ones(len(keys), dtype=np.bool_))
