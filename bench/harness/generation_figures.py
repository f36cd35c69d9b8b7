"""What the sides of the generation bench measured, as shares, ratios and goals. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.comparison import ratio
from harness.targets import Goal

CLIENTS = (1, 8, 32)
GENERATE_CLIENTS = (1, 8)
OF_FLOOR = {1: 0.85, 8: 0.80, 32: 0.65}
TO_BATCH = {1: 2.3, 8: 2.9, 32: 6.0}
SPECULATION = {1: 1.8, 8: 1.3}
NEVER_BELOW = 0.97


def floors_of(rounds: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of each round the fastest way."""
    return [min(each["ways"].values()) for each in rounds]


def decode_row(measured: Mapping[str, Sequence[Mapping[str, Any]]], clients: int) -> dict[str, Any]:
    """One line: the engine beside the floor, transformers and llama.cpp; None where that was not measured."""
    ours = measured[f"engine {clients}"]
    steps = [statistics.median(each["steps"]) for each in ours]
    seconds = [each["seconds"] for each in ours]
    row: dict[str, Any] = {
        "tokens_per_s": clients / statistics.median(steps),
        "step_s": statistics.median(steps),
        "of_floor": ratio(floors_of(measured[f"floor {clients}"]), steps),
    }
    for name in ("generate", "generate_batch", "llama"):
        theirs = measured.get(f"{name} {clients}")
        row[f"to_{name}"] = ratio([each["seconds"] for each in theirs], seconds) if theirs else None
    return row


def speculation_row(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How much sooner answers are complete with drafts, from the end of the prompts on."""
    plain, drafted = ([each[name]["decode_s"] for each in rounds] for name in ("plain", "drafted"))
    accepted = sum(each["drafted"]["accepted"] for each in rounds)
    rejected = sum(each["drafted"]["rejected"] for each in rounds)
    return {
        "speed_up": ratio(plain, drafted),
        "accepted": accepted / (accepted + rejected) if accepted + rejected else None,
    }


def stall_row(rounds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The 99th percentile of the time between two tokens while a long prompt comes, to that without one."""
    idle, busy = ([float(np.percentile(each[name], 99)) for each in rounds] for name in ("idle", "busy"))
    medians = [statistics.median(each["idle"]) for each in rounds]
    return {"p99": ratio(busy, idle), "p99_to_median": ratio(busy, medians)}


def goals_of(figures: Mapping[str, Any]) -> list[Goal]:
    """What was set, of the parts that were run."""
    goals = []
    for clients, row in figures.get("decode", {}).items():
        count = int(clients)
        goals.append(
            Goal(f"decode at {count}, of the floor", row["of_floor"], "at least", OF_FLOOR[count], "%")
        )
        if row["to_generate_batch"] is not None:
            name = f"at {count}, to generate_batch()"
            goals.append(Goal(name, row["to_generate_batch"], "at least", TO_BATCH[count]))
    for kind, rows in figures.get("speculation", {}).items():
        for clients, row in rows.items():
            bound = SPECULATION.get(int(clients), NEVER_BELOW) if kind == "quoting" else NEVER_BELOW
            goals.append(Goal(f"drafts, {kind} at {clients}", row["speed_up"], "at least", bound))
    if "cached" in figures:
        goals.append(Goal("first token, cached to cold", figures["cached"]["ratio"], "at most", 0.2))
    if "stall" in figures:
        goals.append(Goal("between tokens, p99 to idle", figures["stall"]["p99"], "at most", 2.5))
    if "disconnects" in figures:
        goals.append(Goal("pages leaked", figures["disconnects"]["leaked"], "at most", 0))
    if "memory" in figures:
        goals.append(Goal("memory growth", figures["memory"]["growth_mb"], "at most", 10, "MB"))
    return goals
