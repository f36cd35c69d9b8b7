"""Measures of rankings against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import (
    distinct_documents,
    hit_at,
    mean_scores,
    ndcg_at,
    percentiles_ms,
    reciprocal_rank_at,
    scores_of,
)

DOCUMENTS = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True)
GAINS = st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.sampled_from([1.0, 2.0, 4.0]), min_size=1)


def test_a_hit_counts_only_among_the_first_k() -> None:
    assert hit_at(2, ["x", "y", "a"], {"a": 1.0}) == 0.0
    assert hit_at(3, ["x", "y", "a"], {"a": 1.0}) == 1.0


def test_the_reciprocal_rank_is_that_of_the_first_relevant_document() -> None:
    assert reciprocal_rank_at(10, ["x", "a", "b"], {"a": 1.0, "b": 1.0}) == 0.5


def test_a_relevant_document_after_the_cut_has_no_reciprocal_rank() -> None:
    assert reciprocal_rank_at(1, ["x", "a"], {"a": 1.0}) == 0.0


def test_ndcg_discounts_graded_gains_by_the_logarithm_of_their_rank() -> None:
    reached = 1 / math.log2(2) + 3 / math.log2(4)
    ideal = 3 / math.log2(2) + 1 / math.log2(3)
    assert ndcg_at(10, ["b", "x", "a"], {"a": 3.0, "b": 1.0}) == pytest.approx(reached / ideal)


def test_ndcg_compares_with_the_best_that_fits_in_k() -> None:
    gains = dict.fromkeys("abc", 1.0)
    assert ndcg_at(2, ["a", "b"], gains) == pytest.approx(1.0)


def test_an_empty_ranking_scores_nothing() -> None:
    assert set(scores_of([], {"a": 1.0}).values()) == {0.0}


@given(ranking=DOCUMENTS, gains=GAINS)
def test_every_measure_lies_between_0_and_1(ranking: list[str], gains: dict[str, float]) -> None:
    assert all(0.0 <= score <= 1.0 + 1e-9 for score in scores_of(ranking, gains).values())


@given(gains=GAINS)
def test_only_the_best_order_has_an_ndcg_of_1(gains: dict[str, float]) -> None:
    best = sorted(gains, key=lambda name: -gains[name])
    assert ndcg_at(10, best, gains) == pytest.approx(1.0)
    assert ndcg_at(10, ["z", *best], gains) < 1.0


def test_means_are_taken_per_measure() -> None:
    assert mean_scores([{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}]) == {"a": 0.5, "b": 0.0}


def test_passages_are_grouped_at_their_best_one_and_documents_left_out() -> None:
    ranking = distinct_documents(["b", "a", "b", "source", "c", "a"], {"source"})
    assert ranking == ["b", "a", "c"]


def test_percentiles_are_milliseconds() -> None:
    seconds = [number / 1000 for number in range(101)]
    assert percentiles_ms(seconds) == pytest.approx({"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0})
