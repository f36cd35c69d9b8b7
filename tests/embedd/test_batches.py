"""Which pieces make a batch: properties, against a search through all runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedd.batches import BatchLimits, Forward, cut_batch

lengths_of_pieces = st.lists(st.integers(1, 300), min_size=1, max_size=40)
limits_of_batches = st.builds(BatchLimits, st.integers(1, 600), st.integers(1, 100_000))
forwards = st.sampled_from(["packed", "padded"])


def cost(lengths: list[int], forward: Forward) -> BatchLimits:
    """What a batch of ``lengths`` needs."""
    if forward == "padded":
        lengths = [max(lengths)] * len(lengths)
    return BatchLimits(sum(lengths), sum(length**2 for length in lengths))


def is_legal(lengths: list[int], limits: BatchLimits, forward: Forward) -> bool:
    needed = cost(lengths, forward)
    return len(lengths) == 1 or (
        needed.max_tokens <= limits.max_tokens and needed.max_area <= limits.max_area
    )


@given(lengths_of_pieces, limits_of_batches, forwards)
def test_a_batch_holds_the_oldest_piece_and_keeps_to_the_limits(
    lengths: list[int], limits: BatchLimits, forward: Forward
) -> None:
    batch = cut_batch(lengths, limits, forward)
    assert 0 in batch
    assert len(set(batch)) == len(batch)
    assert is_legal([lengths[index] for index in batch], limits, forward)


@given(lengths_of_pieces, limits_of_batches, forwards)
def test_a_batch_is_a_run_of_neighbours_in_length(
    lengths: list[int], limits: BatchLimits, forward: Forward
) -> None:
    batch = [lengths[index] for index in cut_batch(lengths, limits, forward)]
    assert batch == sorted(batch)
    left_out = sorted(lengths)
    for length in batch:
        left_out.remove(length)
    assert not any(batch[0] < length < batch[-1] for length in left_out)


@given(lengths_of_pieces, limits_of_batches, forwards)
def test_no_run_of_similar_lengths_around_the_oldest_would_hold_more(
    lengths: list[int], limits: BatchLimits, forward: Forward
) -> None:
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    runs = [order[a:b] for a in range(len(order)) for b in range(a + 1, len(order) + 1) if 0 in order[a:b]]
    sums = [
        sum(lengths[index] for index in run)
        for run in runs
        if is_legal([lengths[index] for index in run], limits, forward)
    ]
    assert sum(lengths[index] for index in cut_batch(lengths, limits, forward)) == max(sums)


@pytest.mark.parametrize("forward", ["packed", "padded"])
def test_a_piece_over_the_limits_runs_alone(forward: Forward) -> None:
    assert cut_batch([500, 10, 20], BatchLimits(100, 10**6), forward) == [0]
    assert cut_batch([500, 10, 20], BatchLimits(1000, 100_000), forward) == [0]


def test_pieces_of_like_length_are_taken_past_others_in_the_queue() -> None:
    assert cut_batch([10, 90, 11, 80, 9], BatchLimits(40, 10**6), "padded") == [4, 0, 2]


def test_padding_counts_where_there_is_padding() -> None:
    lengths, limits = [10, 30, 30, 30], BatchLimits(100, 10**6)
    assert cut_batch(lengths, limits, "packed") == [0, 1, 2, 3]
    assert cut_batch(lengths, limits, "padded") == [0, 1, 2]


def test_attention_caps_a_batch_of_long_pieces() -> None:
    lengths = [1000] * 8
    assert len(cut_batch(lengths, BatchLimits(10_000, 3 * 10**6), "packed")) == 3


@pytest.mark.parametrize(
    ("device", "max_tokens", "expected"),
    [("cpu", None, 1024), ("cuda:1", None, 16_384), ("cuda", 500, 500), ("xpu", None, 16_384)],
)
def test_a_batch_is_as_large_as_its_device_needs_it(
    device: str, max_tokens: int | None, expected: int
) -> None:
    limits = BatchLimits.of_device(device, max_tokens)
    assert limits.max_tokens == expected
    assert limits.max_area == 1024 * expected


def test_more_cores_are_given_more_tokens() -> None:
    assert BatchLimits.of_device("cpu", threads=16).max_tokens == 16 * 512
    assert BatchLimits.of_device("cpu", 1000, threads=16).max_tokens == 1000


def test_limits_are_only_ever_lowered() -> None:
    limits = BatchLimits(100, 1000)
    assert limits.within(None) == limits.within(200) == limits
    assert limits.within(50) == BatchLimits(50, 1000)
