"""Two rankings become one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.fusion import fuse
from index.rows import Fusion

RRF = Fusion("rrf")
DENSE = {1: 0.9, 2: 0.5, 3: 0.1}
SCORES = st.dictionaries(st.integers(1, 30), st.floats(-1e6, 1e6), max_size=20)


def test_scores_are_scaled_to_the_best_and_averaged() -> None:
    assert fuse(DENSE, {3: 8.0, 2: 4.0}, {1: 0.9}, Fusion()) == pytest.approx({1: 0.5, 2: 0.5, 3: 0.5})
    assert fuse(DENSE, {2: 4.0}, {1: 0.9}, Fusion()) == pytest.approx({2: 0.75, 1: 0.5, 3: 0.0})


def test_a_weight_of_one_leaves_the_vectors_alone_and_of_zero_the_words() -> None:
    lexical = {3: 8.0, 2: 4.0}
    assert list(fuse(DENSE, lexical, DENSE, Fusion(dense_weight=1.0))) == [1, 2, 3]
    assert list(fuse(DENSE, lexical, DENSE, Fusion(dense_weight=0.0))) == [3, 2, 1]
    assert list(fuse(DENSE, lexical, DENSE, Fusion("rrf", 1.0))) == [1, 2, 3]


def test_reciprocal_ranks_put_first_what_both_have() -> None:
    dense = {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.2, 5: 0.1}
    found = {seq: dense[seq] for seq in (1, 2, 3)}
    assert list(fuse(dense, {4: 3.0, 3: 2.0, 5: 1.0}, found, RRF)) == [3, 1, 4, 2, 5]


def test_a_half_alone_keeps_its_order() -> None:
    assert fuse({9: 0.7, 7: 0.5}, {}, {9: 0.7, 7: 0.5}, RRF) == pytest.approx({9: 0.5 / 61, 7: 0.5 / 62})
    assert list(fuse({9: 0.7, 7: 0.5}, {}, {9: 0.7, 7: 0.5}, Fusion())) == [9, 7]


def test_equal_scores_are_in_order_of_seq() -> None:
    assert fuse({5: 0.3, 2: 0.3}, {}, {}, Fusion()) == {2: 0.5, 5: 0.5}
    assert fuse({}, {}, {}, Fusion()) == {}


@given(SCORES, st.data(), st.floats(0, 1))
def test_relative_scores_lie_between_0_and_1_and_come_best_first(
    dense: dict[int, float], data: st.DataObject, weight: float
) -> None:
    seqs = data.draw(st.lists(st.sampled_from(sorted(dense)), unique=True) if dense else st.just([]))
    lexical = {seq: data.draw(st.floats(1e-6, 1e3)) for seq in seqs}
    fused = fuse(dense, lexical, {}, Fusion(dense_weight=weight))
    assert fused.keys() == dense.keys()
    assert list(fused.values()) == sorted(fused.values(), reverse=True)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in fused.values())
