"""Where packed sequences lie, and in how few numbers of rows they are multiplied."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from embedd.worker.layout import Layout, round_rows

CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=20).map(sorted)


@given(LENGTHS)
def test_groups_hold_every_token_once_and_in_order(lengths: list[int]) -> None:
    layout = Layout.of(lengths, CPU)
    states = torch.arange(sum(lengths), dtype=torch.float32)[:, None, None]
    joined = [group.join(group.split(states)) for group in layout.groups]
    assert torch.equal(torch.cat(joined), states)
    assert [length for group in layout.groups for length in group.lengths] == lengths


@given(LENGTHS)
def test_sequences_of_a_group_differ_by_an_eighth_or_less(lengths: list[int]) -> None:
    for group in Layout.of(lengths, CPU).groups:
        assert group.longest - group.lengths[0] <= max(7, group.longest // 8)


@given(LENGTHS)
def test_keys_are_hidden_where_no_token_stands(lengths: list[int]) -> None:
    for group in Layout.of(lengths, CPU).groups:
        empty = group.empty
        seen = [group.longest] * len(group.lengths) if empty is None else (~empty).sum(-1)[:, 0].tolist()
        assert tuple(seen) == group.lengths


@given(LENGTHS)
def test_positions_begin_anew_in_every_sequence(lengths: list[int]) -> None:
    layout = Layout.of(lengths, CPU)
    assert layout.positions.tolist() == [place for length in lengths for place in range(length)]
    assert layout.borders.tolist() == [sum(lengths[:count]) for count in range(len(lengths) + 1)]


@given(st.integers(1, 100_000))
def test_numbers_are_rounded_up_by_little(count: int) -> None:
    assert count <= round_rows(count) <= max(8, count + count // 16 + 7)


def test_few_shapes_are_left_of_many() -> None:
    assert len({round_rows(rows) for rows in range(1, 1025)}) <= 64


def test_rounding_again_changes_nothing() -> None:
    for count in range(1, 3000):
        assert round_rows(round_rows(count)) == round_rows(count)
