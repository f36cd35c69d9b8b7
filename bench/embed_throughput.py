"""How fast does the embedding engine turn texts into vectors, and are they the right ones?

One process per side, loaded once and asked in turn: sentence-transformers' ``encode()`` as it comes; the
worker's engine in each precision, with the batches that the scheduler cuts; OpenVINO in bfloat16 with batches
of 32 sorted by length; a cross-encoder through the same engine; and the floor, the matrix products alone.
First with all cores, then each side kept to one. Times are from texts to vectors, which in the same run are
held against those of ``encode()``.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.comparison import Rows, cosines, largest_difference, take_turns
from harness.engine_figures import (
    CROSS_ENCODER,
    ENCODE,
    ENCODE_BATCH_SIZE,
    ENGINES,
    FLOORS,
    OPENVINO,
    Placement,
    figures_of,
    goals_of,
)
from harness.model import Model, bundled_model
from harness.options import Options, parse_options
from harness.peers import peer_python, peer_versions
from harness.report import machine, print_table, write
from harness.service import MODEL
from harness.side import open_side, usable_cores
from harness.targets import print_goals
from harness.texts import load_texts


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: texts, rounds, and how many texts are run alone to see whether batching shows."""

    texts: int
    rounds: int
    invariance: int


FULL = Effort(texts=512, rounds=5, invariance=128)
QUICK = Effort(texts=96, rounds=2, invariance=32)


async def measure(texts: Sequence[str], model: Model, cores: list[int], effort: Effort) -> dict[str, Any]:
    """All sides on ``cores``."""
    with tempfile.TemporaryDirectory(prefix="embedd-bench-") as folder:
        async with AsyncExitStack() as stack:
            placement = Placement(texts, [len(ids) for ids in model.tokenize(texts)])
            path = Path(folder) / "texts.json"
            path.write_text(json.dumps(texts), encoding="utf-8")
            await open_sides(stack, placement, model, path, cores)
            await run_rounds(placement, effort)
            return figures_of(placement) | {"correctness": await correctness(placement, effort, Path(folder))}


async def open_sides(
    stack: AsyncExitStack, placement: Placement, model: Model, texts: Path, cores: list[int]
) -> None:
    """Starts every side; without the peer's environment its rows are left out."""
    common: dict[str, Any] = {"cores": cores, "folder": str(model.folder), "texts": str(texts)}
    opened = {ENCODE: open_side("encode", **common)}
    opened |= {name: open_side("engine", dtype=dtype, **common) for name, dtype in ENGINES.items()}
    opened[CROSS_ENCODER] = open_side("engine", dtype="auto", kind="reranking", **common)
    opened["floors"] = open_side("products", **common)
    if python := peer_python("openvino"):
        opened[OPENVINO] = open_side("openvino_bf16", python=python, **common)
    for name, side in opened.items():
        placement.sides[name] = await stack.enter_async_context(side)
        placement.facts[name] = await placement.sides[name].call("describe")


async def run_rounds(placement: Placement, effort: Effort) -> None:
    """Fills ``placement.measured``: one untimed run of some texts, then the rounds."""
    sides = {name: side for name, side in placement.sides.items() if name != "floors"}
    for side in sides.values():
        await side.call("run", first=0, count=min(64, effort.texts))
    batches = [sum(batch) for batch in (await sides["engine auto"].call("run", **all_of(effort)))["batches"]]

    def floor(dtype: str) -> Any:
        return lambda _: placement.sides["floors"].call("run", dtype=dtype, batches=batches)

    turns = {name: lambda _, side=side: side.call("run", **all_of(effort)) for name, side in sides.items()}
    turns |= {name: floor(dtype) for name, dtype in FLOORS.items()}
    placement.measured = await take_turns(turns, effort.rounds)


def all_of(effort: Effort) -> dict[str, int]:
    """The texts that every round embeds."""
    return {"first": 0, "count": effort.texts}


async def correctness(placement: Placement, effort: Effort, folder: Path) -> dict[str, Any]:
    """Each side's last vectors against ``encode()``'s, and how much batching shows in the engine's."""
    vectors: dict[str, Rows] = {}
    for name in (ENCODE, OPENVINO, *ENGINES):
        if name in placement.sides:
            path = folder / f"{len(vectors)}.npy"
            await placement.sides[name].call("save", path=str(path))
            vectors[name] = np.load(path)
    reference = vectors.pop(ENCODE)
    compared = {
        name: {"cosine": cosines(rows, reference), "largest_difference": largest_difference(rows, reference)}
        for name, rows in vectors.items()
    }
    for name in ENGINES:
        compared[name]["batching"] = await placement.sides[name].call(
            "differences", first=0, count=effort.invariance
        )
    return compared


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before = machine()
    effort = QUICK if options.quick else FULL
    texts = load_texts(options.data, effort.texts)
    model, cores = bundled_model(), usable_cores()
    figures: dict[str, Any] = {"all_cores": await measure(texts, model, cores, effort)}
    print_placement(f"{len(cores)} cores", figures["all_cores"])
    figures["one_core"] = await measure(texts, model, cores[-1:], effort)
    print_placement("one core", figures["one_core"])
    goals = goals_of(figures["all_cores"])
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    write(options.out, figures, settings(options, effort, texts, model), before)


def settings(options: Options, effort: Effort, texts: Sequence[str], model: Model) -> dict[str, Any]:
    """What was measured how."""
    return {
        "quick": options.quick,
        "model": MODEL,
        "texts": len(texts),
        "tokens": sum(len(ids) for ids in model.tokenize(texts)),
        "rounds": effort.rounds,
        "encode_batch_size": ENCODE_BATCH_SIZE,
        "invariance_texts": effort.invariance,
        "openvino": peer_versions("openvino"),
    }


def print_placement(title: str, figures: dict[str, Any]) -> None:
    """Rates and ratios, then what the vectors are worth."""
    names = ("texts/s", "tokens/s", "x encode()", "x OpenVINO", "of floor", "padding", "tokenizing")
    rows = [[name, *cells(row)] for name, row in figures["sides"].items()]
    print_table(f"{MODEL}, {title}", ["side", *names], rows)
    share = figures["cross_encoder_to_engine_forward"]
    print(f"cross-encoder, token rate of its forward to the engine's: {share:.2f}")
    checked = [
        [
            name,
            f"{row['cosine']['mean']:.6f}",
            f"{row['cosine']['lowest']:.6f}",
            *(scientific(value) for value in (row["largest_difference"], *row.get("batching", {}).values())),
        ]
        for name, row in figures["correctness"].items()
    ]
    columns = ["side", "mean cosine", "lowest", "largest difference", "alone", "permuted"]
    filled = [row + ["-"] * (len(columns) - len(row)) for row in checked]
    print_table(f"against encode(), {title}", columns, filled)


def cells(row: dict[str, Any]) -> list[str]:
    """A line of the first table."""
    shares = [row[name] for name in ("share_of_floor", "padding", "tokenizing")]
    ratios = [row[name] for name in ("to_encode", "to_openvino")]
    return [
        f"{row['texts_per_s']:.0f}",
        f"{row['tokens_per_s']:.0f}",
        *("-" if value is None else f"{value:.2f}" for value in ratios),
        *("-" if value is None else f"{value:.1%}" for value in shares),
    ]


def scientific(value: float) -> str:
    """A small difference."""
    return f"{value:.1e}"


if __name__ == "__main__":
    asyncio.run(run(parse_options("embed_throughput", "The embedding engine without the service, timed.")))
