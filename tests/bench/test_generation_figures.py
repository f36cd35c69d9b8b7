"""From what the sides of the generation bench measured to shares, ratios and goals."""

from typing import Any

import pytest

from harness.generation_figures import decode_row, goals_of, speculation_row, stall_row
from harness.language_models import BLOCK, following


def engine(step: float, seconds: float) -> dict[str, Any]:
    return {"steps": [step, step, 10 * step], "seconds": seconds}


def test_a_share_of_the_floor_is_that_of_the_fastest_way() -> None:
    measured = {
        "floor 8": [{"ways": {"torch": 3.0, "panels": 0.8}}, {"ways": {"torch": 0.4, "panels": 0.9}}],
        "engine 8": [engine(1.0, 10.0), engine(0.5, 10.0)],
        "generate_batch 8": [{"seconds": 30.0}, {"seconds": 50.0}],
    }
    row = decode_row(measured, 8)
    assert row["of_floor"] == pytest.approx(0.8)
    assert row["to_generate_batch"] == pytest.approx(4.0)
    assert row["to_generate"] is row["to_llama"] is None
    assert row["tokens_per_s"] == pytest.approx(8 / 0.75)


def test_a_speed_up_counts_from_the_end_of_the_prompts_on() -> None:
    rounds = [
        {"plain": {"decode_s": 6.0}, "drafted": {"decode_s": 3.0, "accepted": 9, "rejected": 3}},
        {"plain": {"decode_s": 6.0}, "drafted": {"decode_s": 2.0, "accepted": 0, "rejected": 0}},
    ]
    assert speculation_row(rounds) == {"speed_up": 2.5, "accepted": 0.75}


def test_a_stall_is_the_99th_percentile_to_that_without() -> None:
    row = stall_row([{"idle": [1.0] * 100, "busy": [2.0] * 100}])
    assert (row["p99"], row["p99_to_median"]) == (2.0, 2.0)


def test_goals_are_set_for_what_was_run() -> None:
    assert goals_of({}) == []
    figures = {
        "decode": {"8": {"of_floor": 0.7, "to_generate_batch": 3.0}},
        "speculation": {"quoting": {"1": {"speed_up": 2.0}}, "not quoting": {"1": {"speed_up": 0.96}}},
        "disconnects": {"leaked": 0},
    }
    assert [goal.is_met for goal in goals_of(figures)] == [False, True, True, False, True]


def test_tokens_of_a_block_follow_each_other_round_and_round() -> None:
    said = [BLOCK]
    for _ in range(BLOCK):
        said.append(following(said[-1]))
    assert said[-1] == said[0]
    assert len(set(said)) == BLOCK
