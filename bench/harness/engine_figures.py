"""What the sides of the throughput bench measured, as rates, ratios, shares and goals. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.comparison import encode_batches, padding_share, ratio
from harness.side import Side
from harness.targets import Goal

ENCODE, OPENVINO, CROSS_ENCODER = "encode()", "OpenVINO bf16", "cross-encoder"
ENGINES = {"engine auto": "auto", "engine bfloat16": "bfloat16", "engine float32": "float32"}
FLOORS = {"floor bfloat16": "bfloat16", "floor float32": "float32"}
ENCODE_BATCH_SIZE = 32


@dataclass(slots=True)
class Placement:
    """One run of all sides on the same cores: what they are, and what they measured."""

    texts: Sequence[str]
    lengths: list[int]
    sides: dict[str, Side] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def seconds(self, name: str) -> list[float]:
        """Of each round."""
        return [each["seconds"] for each in self.measured[name]]


def figures_of(placement: Placement) -> dict[str, Any]:
    """Rates, and ratios to ``encode()``, to OpenVINO and to the floor of the same precision."""
    rows = {name: row_of(placement, name) for name in placement.measured}
    embeds, reranks = placement.measured["engine auto"], placement.measured[CROSS_ENCODER]
    forwards = ratio([forward_seconds(one) for one in embeds], [forward_seconds(one) for one in reranks])
    return {
        "sides": rows,
        "cross_encoder_to_engine_forward": forwards,
        "facts": placement.facts,
        "seconds": {name: placement.seconds(name) for name in placement.measured},
        "batch_ms": batch_times(embeds),
    }


def row_of(placement: Placement, name: str) -> dict[str, Any]:
    """One line of the table; a figure that does not apply is None."""
    seconds = placement.seconds(name)
    median = statistics.median(seconds)
    dtype = dtype_of(placement, name)
    peer = placement.seconds(OPENVINO) if OPENVINO in placement.measured else None
    return {
        "dtype": dtype,
        "texts_per_s": len(placement.texts) / median,
        "tokens_per_s": sum(placement.lengths) / median,
        "to_encode": ratio(placement.seconds(ENCODE), seconds),
        "to_openvino": ratio(peer, seconds) if peer else None,
        "share_of_floor": ratio(placement.seconds(f"floor {dtype}"), seconds),
        "padding": padding_of(placement, name),
        "tokenizing": tokenizing_share(placement.measured[name]),
    }


def dtype_of(placement: Placement, name: str) -> str:
    """The precision of the linear layers, and so the floor to compare with."""
    if name in FLOORS:
        return FLOORS[name]
    return "bfloat16" if "bf16" in name else str(placement.facts[name]["dtype"])


def padding_of(placement: Placement, name: str) -> float | None:
    """The share of padding in what was computed."""
    if name == ENCODE:
        return padding_share(encode_batches(placement.texts, placement.lengths, ENCODE_BATCH_SIZE))
    if name in FLOORS:
        return None
    if placement.facts[name].get("forward") == "packed":
        return 0.0
    return padding_share(placement.measured[name][0]["batches"])


def tokenizing_share(measured: Sequence[dict[str, Any]]) -> float | None:
    """How much of the time went into tokenising, where the side tells."""
    if "tokenize_s" not in measured[0]:
        return None
    return float(statistics.median(each["tokenize_s"] / each["seconds"] for each in measured))


def forward_seconds(measured: dict[str, Any]) -> float:
    """The time in the engine itself."""
    return float(measured["seconds"] - measured["tokenize_s"])


def batch_times(measured: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median and longest batch of all rounds, in milliseconds."""
    times = [1000 * seconds for each in measured for seconds in each["batch_seconds"]]
    return {"median": statistics.median(times), "longest": max(times)}


def goals_of(figures: dict[str, Any]) -> list[Goal]:
    """What the engine should reach with all cores."""
    sides, checked = figures["sides"], figures["correctness"]
    narrow, wide = sides["engine bfloat16"], sides["engine float32"]
    nearness, exactness = checked["engine bfloat16"]["cosine"], checked["engine float32"]
    batching = max(exactness["batching"].values())
    goals = [
        Goal("bfloat16, to encode()", narrow["to_encode"], "at least", 6.0),
        Goal("bfloat16, of the floor", narrow["share_of_floor"], "at least", 0.35, "%"),
        Goal("bfloat16, mean cosine", nearness["mean"], "at least", 0.9999),
        Goal("bfloat16, lowest cosine", nearness["lowest"], "at least", 0.9995),
        Goal("float32, to encode()", wide["to_encode"], "at least", 1.5),
        Goal("float32, largest difference", exactness["largest_difference"], "at most", 1e-5),
        Goal("float32, difference by batching", batching, "at most", 1e-5),
        Goal(
            "cross-encoder, of the engine's", figures["cross_encoder_to_engine_forward"], "at least", 0.9, "%"
        ),
        Goal("padding", narrow["padding"], "at most", 0.0, "%"),
    ]
    if narrow["to_openvino"] is not None:
        goals.insert(1, Goal("bfloat16, to OpenVINO", narrow["to_openvino"], "at least", 1.1))
    return goals
