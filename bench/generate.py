"""How fast does the generator's engine answer, and how near is it to what the memory allows?

A model of Qwen2.5-0.5B's shape with random weights that copy (see harness/language_models). One process per
side, loaded once and asked in turn: the floor, which is its matrices multiplied once in the fastest way at
hand; the engine; transformers' ``generate()`` and ``generate_batch()``; llama.cpp. Then the engine alone:
drafts on answers that quote their prompt and on answers that do not, the first token of a prompt that is
known for the most part, running answers while a long prompt comes, requests that leave, memory.
"""

import asyncio
import random
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.comparison import ratio, take_turns
from harness.generation_figures import (
    CLIENTS,
    GENERATE_CLIENTS,
    decode_row,
    goals_of,
    speculation_row,
    stall_row,
)
from harness.language_models import BLOCK, LAYERS, VOCAB, following, write_model, write_tiny_model
from harness.options import Options, parse_options
from harness.peers import peer_python, peer_versions
from harness.report import machine, print_table, write
from harness.side import Side, open_side, usable_cores
from harness.targets import print_goals

PARTS = ("decode", "speculation", "cached", "stall", "disconnects", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured; lengths are in tokens, ``long`` and ``known`` those of long prompts."""

    layers: int
    vocab: int
    rounds: int
    prompt: int
    answer: int
    quoted: int
    long: int
    known: int
    arriving: int
    idle_steps: int
    disconnects: int
    requests: int
    pages: int


FULL = Effort(
    layers=LAYERS,
    vocab=VOCAB,
    rounds=3,
    prompt=240,
    answer=32,
    quoted=128,
    long=2000,
    known=1800,
    arriving=4000,
    idle_steps=50,
    disconnects=1000,
    requests=10_000,
    pages=1024,
)
QUICK = Effort(
    layers=2,
    vocab=16_384,
    rounds=2,
    prompt=64,
    answer=12,
    quoted=48,
    long=500,
    known=450,
    arriving=600,
    idle_steps=20,
    disconnects=100,
    requests=300,
    pages=256,
)


class Bench:
    """The sides that are open, and what they are asked."""

    def __init__(self, sides: dict[str, Side], effort: Effort) -> None:
        self._sides = sides
        self._effort = effort
        self._random = random.Random(3)

    async def decode(self) -> dict[str, Any]:
        """Shares of the floor and ratios to transformers, by clients."""
        effort, turns = self._effort, dict[str, Any]()
        for clients in CLIENTS:
            asked = {"prompts": self._prompts(clients), "new_tokens": effort.answer}
            turns[f"floor {clients}"] = self._turn("matrices", "run", rows=clients)
            turns[f"engine {clients}"] = self._turn("engine", "decode", **asked)
            if clients in GENERATE_CLIENTS:
                turns[f"generate {clients}"] = self._turn("transformers", "generate", **asked)
            turns[f"generate_batch {clients}"] = self._turn("transformers", "generate_batch", **asked)
            if "llama" in self._sides:
                turns[f"llama {clients}"] = self._turn("llama", "generate", **asked)
        measured = await take_turns(turns, effort.rounds)
        floors = {str(clients): measured[f"floor {clients}"] for clients in CLIENTS}
        return {str(clients): decode_row(measured, clients) for clients in CLIENTS} | {"floors": floors}

    async def speculation(self) -> dict[str, Any]:
        """Speed-ups by clients, on answers that quote their prompt and on those that do not."""
        kinds = {"quoting": self._quoting, "not quoting": self._prompts}
        turns = {
            f"{kind}|{clients}": self._turn(
                "engine", "speculate", prompts=prompts(clients), new_tokens=self._effort.quoted
            )
            for kind, prompts in kinds.items()
            for clients in CLIENTS
        }
        rows: dict[str, Any] = {kind: {} for kind in kinds}
        for name, rounds in (await take_turns(turns, self._effort.rounds)).items():
            kind, clients = name.split("|")
            rows[kind][clients] = speculation_row(rounds)
        return rows

    async def cached(self) -> dict[str, Any]:
        """How soon the first token of a long prompt comes whose beginning is known, to one that is not."""
        prompt = self._tokens(self._effort.long)
        rounds = [
            await self._sides["engine"].call("cached", prompt=prompt, shared=self._effort.known)
            for _ in range(self._effort.rounds)
        ]
        cold, warm = ([each[name] for each in rounds] for name in ("cold", "warm"))
        return {"cold_s": cold, "warm_s": warm, "ratio": ratio(warm, cold)}

    async def stall(self) -> dict[str, Any]:
        """What running answers notice of a long prompt."""
        asked = {"prompts": self._prompts(4), "long": self._tokens(self._effort.arriving)}
        rounds = [
            await self._sides["engine"].call("stall", steps=self._effort.idle_steps, **asked)
            for _ in range(self._effort.rounds)
        ]
        return stall_row(rounds) | {"rounds": rounds}

    async def disconnects(self) -> dict[str, Any]:
        """How many pages requests that left have kept."""
        return await self._sides["tiny"].call("disconnects", count=self._effort.disconnects, seed=1)

    async def memory(self) -> dict[str, Any]:
        """How much memory nine tenths of many requests have added."""
        found = await self._sides["tiny"].call("memory", count=self._effort.requests, seed=2)
        return found | {"growth_mb": (found["last"] - found["first"]) / 2**20}

    def _turn(self, side: str, step: str, **arguments: Any) -> Any:
        return lambda _: self._sides[side].call(step, **arguments)

    def _tokens(self, count: int) -> list[int]:
        return [self._random.randrange(self._effort.vocab) for _ in range(count)]

    def _prompts(self, clients: int) -> list[list[int]]:
        return [self._tokens(self._effort.prompt) for _ in range(clients)]

    def _quoting(self, clients: int) -> list[list[int]]:
        return [self._passage() for _ in range(clients)]

    def _passage(self) -> list[int]:
        """What the answer will say, in pieces of twelve to twenty tokens and not in order."""
        first = self._random.randrange(self._effort.vocab // BLOCK) * BLOCK
        pieces, at = list[list[int]](), 0
        while at < BLOCK:
            length = self._random.randrange(12, 21)
            pieces.append(list(range(first + at, first + min(BLOCK, at + length))))
            at += length
        self._random.shuffle(pieces)
        said = [token for piece in pieces for token in piece]
        missing = max(0, self._effort.prompt - len(said) - 1)
        return [*self._tokens(missing), *said, following(said[0])]


async def run(options: Options) -> None:
    """Runs the parts that were asked for and reports."""
    before, effort = machine(), QUICK if options.quick else FULL
    dtype = default_dtype()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="embedd-bench-") as folder:
        async with AsyncExitStack() as stack:
            sides = await open_sides(stack, Path(folder), options.parts, effort, dtype)
            bench = Bench(sides, effort)
            for part in options.parts:
                figures[part] = await getattr(bench, part)()
    floors = figures.get("decode", {}).pop("floors", None)
    goals = goals_of(figures)
    print_figures(figures)
    print_goals(goals)
    figures |= {"floors": floors, "goals": [goal.as_figure() for goal in goals]}
    peers = {"peers": peer_versions("llama")}
    settings = {name: getattr(effort, name) for name in Effort.__slots__}
    write(options.out, figures, {"quick": options.quick, "dtype": dtype} | peers | settings, before)


def default_dtype() -> str:
    """What the engine computes in here by itself."""
    import torch  # noqa: PLC0415 - for one question

    from embedd.worker.linear import choose_dtype  # noqa: PLC0415

    return str(choose_dtype("auto", torch.device("cpu"))).removeprefix("torch.")


async def open_sides(
    stack: AsyncExitStack, folder: Path, parts: Sequence[str], effort: Effort, dtype: str
) -> dict[str, Side]:
    """Starts what the parts need."""
    large, tiny = folder / "large", folder / "tiny"
    common: dict[str, Any] = {"cores": usable_cores(), "dtype": dtype, "pages": effort.pages}
    opened: dict[str, Any] = {}
    if {"decode", "speculation", "cached", "stall"} & set(parts):
        write_model(large, effort.layers, effort.vocab)
        opened["engine"] = open_side("generator", folder=str(large), **common)
    if "decode" in parts:
        opened["matrices"] = open_side("matrices", folder=str(large), **common)
        opened["transformers"] = open_side("generate", folder=str(large), **common)
        if python := peer_python("llama"):
            opened["llama"] = open_side("llama", python=python, folder=str(large), **common)
    if {"disconnects", "memory"} & set(parts):
        write_tiny_model(tiny)
        opened["tiny"] = open_side("generator", folder=str(tiny), **common | {"dtype": "float32"})
    return {name: await stack.enter_async_context(side) for name, side in opened.items()}


def print_figures(figures: dict[str, Any]) -> None:
    """The tables of decoding and of drafts."""
    decode = figures.get("decode", {})
    columns = ["tokens_per_s", "step_s", "of_floor", "to_generate", "to_generate_batch", "to_llama"]
    rows = [[clients, *(shown(row[name]) for name in columns)] for clients, row in decode.items()]
    print_table(
        "decoding",
        ["clients", "tokens/s", "step, s", "of floor", "x generate", "x generate_batch", "x llama.cpp"],
        rows,
    )
    for kind, by_clients in figures.get("speculation", {}).items():
        rows = [
            [clients, shown(row["speed_up"]), shown(row["accepted"])] for clients, row in by_clients.items()
        ]
        print_table(f"drafts, {kind}", ["clients", "speed-up", "accepted"], rows)


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    asyncio.run(run(parse_options("generate", "The generator's engine, timed.", parts=PARTS)))
