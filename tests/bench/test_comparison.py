"""Turns, ratios, padding and distances against values worked out by hand."""

from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from harness.comparison import (
    cosines,
    encode_batches,
    largest_difference,
    padding_share,
    ratio,
    take_turns,
)


async def test_every_side_runs_once_in_every_round_and_each_round_begins_with_another() -> None:
    order: list[str] = []

    def side(name: str) -> Callable[[int], Awaitable[int]]:
        async def measure(number: int) -> int:
            order.append(name)
            return number

        return measure

    measured = await take_turns({name: side(name) for name in "abc"}, rounds=4)
    assert "".join(order) == "abcbcacababc"
    assert measured == {name: [0, 1, 2, 3] for name in "abc"}


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    assert ratio([8.0, 100.0, 9.0], [4.0, 10.0, 3.0]) == 3.0


def test_rounds_of_different_numbers_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0], [1.0, 2.0])


def test_padding_is_what_the_shorter_sequences_of_a_batch_lack() -> None:
    assert padding_share([[1, 3], [4, 4]]) == pytest.approx(2 / 14)


def test_batches_of_single_sequences_have_no_padding() -> None:
    assert padding_share([[7], [2]]) == 0.0


def test_encode_sorts_by_characters_and_not_by_tokens() -> None:
    texts = ["a", "ccc", "bb", "dddd"]
    assert encode_batches(texts, lengths=[9, 1, 2, 3], batch_size=2) == [[3, 1], [2, 9]]


def test_cosines_take_the_lengths_out() -> None:
    rows = np.array([[2.0, 0.0], [3.0, 4.0]], dtype=np.float32)
    reference = np.array([[5.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    assert cosines(rows, reference) == pytest.approx({"mean": 0.8, "lowest": 0.6})


def test_the_largest_difference_has_no_sign() -> None:
    rows = np.array([[1.0, -2.0]], dtype=np.float32)
    assert largest_difference(rows, np.array([[1.5, 1.0]], dtype=np.float32)) == 3.0
