"""The planner: how many candidates, how widely, and when a scan is cheaper."""

from hypothesis import given
from hypothesis import strategies as st

from index.planner import MIN_EF, candidates_to_fetch, ef_of, graph_pays, more_candidates, scan_cost

sizes = st.integers(1, 10**6)


@given(k=st.integers(1, 10_000), matches=st.integers(0, 10**6), rows=sizes)
def test_fetching_grows_as_fewer_match(k: int, matches: int, rows: int) -> None:
    fetched = candidates_to_fetch(k, min(matches, rows), rows)
    assert fetched >= k
    assert candidates_to_fetch(k, min(matches, rows) // 2, rows) >= fetched


@given(candidates=sizes, found=st.integers(1, 100), wanted=st.integers(1, 100))
def test_each_attempt_fetches_at_least_twice_as_many(candidates: int, found: int, wanted: int) -> None:
    assert more_candidates(candidates, found, wanted) >= 2 * candidates


def test_an_attempt_that_found_little_jumps_further() -> None:
    assert more_candidates(100, found=1, wanted=10) > more_candidates(100, found=9, wanted=10)


@given(candidates=sizes)
def test_a_filtered_search_looks_wider_than_it_fetches(candidates: int) -> None:
    assert ef_of(candidates, filtered=True) > candidates or candidates < MIN_EF
    assert ef_of(candidates, filtered=False) >= candidates


@given(matches=sizes, rows=sizes)
def test_a_scan_costs_no_more_than_all_rows(matches: int, rows: int) -> None:
    assert scan_cost(min(matches, rows), rows) <= rows


def test_few_matches_are_scanned_and_many_are_not() -> None:
    for share, expected in ((0.5, True), (0.001, False)):
        matches = int(share * 100_000)
        fetched = candidates_to_fetch(10, matches, 100_000)
        ef = ef_of(fetched, filtered=True)
        assert graph_pays(ef, fetched, 100_000, scan_cost(matches, 100_000)) == expected


def test_a_graph_is_not_asked_for_more_than_it_has() -> None:
    assert not graph_pays(100, candidates=51, in_graph=50, scan=10**9)
