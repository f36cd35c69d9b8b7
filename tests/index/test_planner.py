"""The planner: how many candidates, how widely, and when a scan is cheaper."""

from hypothesis import given
from hypothesis import strategies as st

from index.planner import MIN_EF, ROWS_PER_COMPARED, candidates_to_fetch, ef_of, limits_of, scan_cost

sizes = st.integers(1, 10**6)
ks = st.integers(1, 10_000)


@given(k=ks)
def test_eight_bits_need_more_candidates(k: int) -> None:
    assert candidates_to_fetch(k, quantised=False) == k < candidates_to_fetch(k, quantised=True)


@given(candidates=sizes, rows=sizes)
def test_a_search_keeps_at_least_what_it_gives(candidates: int, rows: int) -> None:
    assert ef_of(candidates, rows) >= max(candidates, MIN_EF)


def test_a_larger_graph_is_searched_more_widely() -> None:
    assert [ef_of(10, rows) for rows in (10, 100_000, 400_000, 1_000_000)] == [128, 128, 256, 405]


@given(matches=sizes, rows=sizes)
def test_a_scan_costs_no_more_than_all_rows(matches: int, rows: int) -> None:
    assert scan_cost(min(matches, rows), rows) <= rows


def test_codes_make_a_scan_cheaper_and_more_of_them_cheaper_still() -> None:
    costs = [scan_cost(20_000, 100_000, coded) for coded in (0, 50_000, 100_000)]
    assert costs == [40_000, 32_000, 24_000]
    for coded, is_asked in ((0, True), (100_000, False)):
        limits = limits_of(ef_of(10, 100_000), 20_000, 100_000, scan_cost(20_000, 100_000, coded))
        assert bool(limits) == is_asked


@given(matches=st.integers(0, 10**6), rows=sizes, ef=sizes)
def test_a_graph_that_has_fewer_matches_than_it_should_keep_is_not_asked(
    matches: int, rows: int, ef: int
) -> None:
    matches = min(matches, rows)
    if limits_of(ef, matches, rows, scan_cost(matches, rows)):
        assert matches >= ef


def test_few_matches_are_scanned_and_many_are_not() -> None:
    for share, expected in ((0.5, True), (0.2, True), (0.001, False)):
        matches = int(share * 100_000)
        limits = limits_of(ef_of(10, 100_000), matches, 100_000, scan_cost(matches, 100_000))
        assert bool(limits) == expected


@given(matches=sizes, rows=sizes, k=ks)
def test_giving_up_costs_less_than_a_scan(matches: int, rows: int, k: int) -> None:
    matches = min(matches, rows)
    scan = scan_cost(matches, rows)
    if limits := limits_of(ef_of(k, rows), matches, rows, scan):
        assert (limits.most - 1) * ROWS_PER_COMPARED < scan
        assert 0 < limits.least < 1
