"""How a batch is shared out among the cores of a CPU."""

from hypothesis import given
from hypothesis import strategies as st

from embedd.worker.parts import cut_parts, threads_within

LENGTHS = st.lists(st.integers(1, 600), min_size=1, max_size=40).map(sorted)


@given(LENGTHS, st.integers(1, 16))
def test_every_row_is_in_one_part_and_no_part_is_empty(lengths: list[int], most: int) -> None:
    rows = list(range(len(lengths)))
    parts = [rows[part] for part in cut_parts(lengths, most)]
    assert [row for part in parts for row in part] == rows
    assert all(parts)
    assert len(parts) <= most


@given(st.lists(st.integers(20, 300), min_size=64, max_size=128).map(sorted))
def test_parts_of_many_rows_cost_about_the_same(lengths: list[int]) -> None:
    costs = [sum(length * (length + 512) for length in lengths[part]) for part in cut_parts(lengths, 4)]
    assert max(costs) - min(costs) <= 2 * max(lengths) * (max(lengths) + 512)


def test_a_few_short_rows_stay_together() -> None:
    assert cut_parts([9, 12, 16], 8) == [slice(0, 3)]


def test_a_small_forward_wakes_no_other_thread_and_a_large_one_all() -> None:
    small_model, large_model = 10_000_000, 600_000_000
    assert threads_within(16, small_model, 8) == 1
    assert threads_within(512, large_model, 8) == 8
    assert threads_within(512, large_model, 1) == 1
