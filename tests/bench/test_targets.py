"""Goals: met or not, and how they are told."""

import pytest

from harness.targets import Goal, in_unit, row_of


@pytest.mark.parametrize(
    ("value", "kind", "met"),
    [(0.9, "at least", True), (0.8, "at least", False), (0.9, "at most", True), (1.0, "at most", False)],
)
def test_a_goal_is_met_at_its_bound(value: float, kind: str, met: bool) -> None:
    assert Goal("a share", value, kind, 0.9).is_met is met  # type: ignore[arg-type]


def test_a_goal_reads_the_same_from_a_result_file() -> None:
    figure = Goal("goodput", 0.925, "at least", 0.9, "%").as_figure()
    assert row_of(figure) == ["92.5%", "at least 90.0%", "yes"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.534, "ms", "1.53 ms"), (0.999951, "", "0.999951"), (1.2e-7, "", "1.2e-07"), (0.0, "", "0")],
)
def test_numbers_have_as_many_digits_as_say_something(value: float, unit: str, text: str) -> None:
    assert in_unit(value, unit) == text
