"""What does the store lose when it is killed, what does it believe of spoiled files, how fast do rows move?

Kills: clients write, replace, delete and submit jobs at once over HTTP; after some number of answers the
service gets SIGKILL, and the next one is held to all that was acknowledged: nothing lost, torn, doubled or
risen from the dead. Corruptions: a cache of a collection is spoiled, and every answer must be right all the
same. Transfer: rows a second of an import as JSON Lines, an export, and an import of that, which must come
out the same to the bit; then the same with the commands and files of both formats, their start included. The
first wrong thing ends the bench with an error, so there are figures only where nothing was wrong.
"""

import asyncio
import base64
import importlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import structlog
import uvloop

from harness.corruption import make_patient, trial
from harness.options import REPOSITORY, Options, parse_options
from harness.report import machine, print_table, write
from harness.service import open_service

PARTS = ("kills", "corruptions", "transfer")
DIM = 384
BLOCK_LINES = 1_000
WORDS = 30


@dataclass(frozen=True, slots=True)
class Effort:
    """How often, and how much."""

    kills: int
    corruptions: int
    rows: int
    rounds: int


FULL = Effort(kills=1_000, corruptions=2_000, rows=100_000, rounds=3)
QUICK = Effort(kills=8, corruptions=40, rows=10_000, rounds=1)


def kills(count: int, folder: Path) -> dict[str, Any]:
    """The cycles that the tests run as well, so many of them over one data folder."""
    sys.path.append(str(REPOSITORY / "tests" / "support"))
    victims = importlib.import_module("crash_victim")
    times: dict[str, list[float]] = {}
    with importlib.import_module("real_service").open_launcher(folder) as launcher:
        victim = victims.make_victim(launcher, times)
        for number in range(count):
            asyncio.run(victim.write_until_killed(random.Random(number)))
            victim.restart()
            victim.check(everything=number == count - 1)
            if (number + 1) % 50 == 0:
                print(f"{number + 1} kills")
        held = len(victim.promises.documents.acknowledged) + len(victim.promises.points.acknowledged)
    ready = times["ready after kill -9"]
    return {
        "kills": count,
        "wrong": 0,
        "documents_and_points_held": held,
        "ready_s": {"median": statistics.median(ready), "worst": max(ready)},
    }


def corruptions(count: int, folder: Path) -> dict[str, Any]:
    """So many trials, counted by what was done."""
    patient = asyncio.run(make_patient(folder / "patient"))
    done: Counter[str] = Counter()
    for seed in range(count):
        done[asyncio.run(trial(patient, folder / "scratch", random.Random(seed)))] += 1
    return {"corruptions": count, "wrong": 0, "by_kind": dict(sorted(done.items()))}


async def transfer(effort: Effort) -> dict[str, Any]:
    """Rows a second, medians of the rounds, each with a new service."""
    rounds = []
    for number in range(effort.rounds):
        async with open_service(model="none") as service:
            rounds.append(await _round_trip(service.url, effort.rows, number))
    names = rounds[0].keys()
    return {"rows": effort.rows} | {name: statistics.median(each[name] for each in rounds) for name in names}


async def _round_trip(url: str, rows: int, seed: int) -> dict[str, float]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(url, timeout=timeout) as session:
        for name in ("first", "second"):
            async with session.put(f"/v1/collections/{name}", json={"dim": DIM}) as response:
                response.raise_for_status()
        made = list(_blocks(rows, seed))
        rates = {"import_rows_per_s": rows / await _timed(_import(session, "first", made))}
        began = time.perf_counter()
        exported = await _export(session, "first")
        rates["export_rows_per_s"] = rows / (time.perf_counter() - began)
        rates["import_of_export_rows_per_s"] = rows / await _timed(_import(session, "second", [exported]))
        rates["import_again_rows_per_s"] = rows / await _timed(_import(session, "second", [exported]))
        with tempfile.TemporaryDirectory() as folder:
            for ending in ("jsonl", "parquet"):
                rates |= await asyncio.to_thread(_by_file, url, rows, Path(folder) / f"first.{ending}")
        for name in ("second", "jsonl", "parquet"):
            again = await _export(session, name)
            assert exported.split(b"\n", 1)[1] == again.split(b"\n", 1)[1], (
                f"{name} is not the same to the bit"
            )
    return rates


def _by_file(url: str, rows: int, file: Path) -> dict[str, float]:
    """Rates of the two commands, by way of a file of the format that its name ends in."""
    ending, rates = file.suffix[1:], {}
    for command, collection in (("export", "first"), ("import", ending)):
        words = [command, str(file), "--collection", collection, "--url", url]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "api", *words], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL
        )
        rates[f"{command}_{ending}_file_rows_per_s"] = rows / (time.perf_counter() - began)
    return rates


async def _timed(work: Any) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _import(session: aiohttp.ClientSession, name: str, blocks: list[bytes]) -> None:
    async def body() -> AsyncIterator[bytes]:
        for block in blocks:
            for start in range(0, len(block), 1 << 18):
                yield block[start : start + (1 << 18)]

    async with session.post(f"/v1/collections/{name}/import", data=body()) as response:
        assert response.status == 200, await response.text()


async def _export(session: aiohttp.ClientSession, name: str) -> bytes:
    async with session.get(f"/v1/collections/{name}/export") as response:
        response.raise_for_status()
        return await response.read()


def _blocks(rows: int, seed: int) -> Iterator[bytes]:
    """Lines of points with random directions, a text of thirty words, and metadata."""
    rng, chance = np.random.default_rng(seed), random.Random(seed)
    for start in range(0, rows, BLOCK_LINES):
        vectors = rng.normal(size=(min(BLOCK_LINES, rows - start), DIM)).astype("<f4")
        yield b"".join(_line(start + n, vector.tobytes(), chance) for n, vector in enumerate(vectors))


def _line(number: int, vector: bytes, chance: random.Random) -> bytes:
    text = " ".join(f"word{chance.randrange(20_000)}" for _ in range(WORDS))
    metadata = {"n": number, "lang": chance.choice(["en", "de"]), "score": chance.random()}
    encoded = base64.b64encode(vector).decode()
    return (
        json.dumps({"id": f"p{number}", "vector": encoded, "text": text, "metadata": metadata}).encode()
        + b"\n"
    )


def run(options: Options) -> None:
    effort, before = QUICK if options.quick else FULL, machine()
    # Spoiled files are told in the log as they should be, a few hundred times.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "kills": lambda: kills(effort.kills, Path(folder)),
            "corruptions": lambda: corruptions(effort.corruptions, Path(folder)),
            "transfer": lambda: uvloop.run(transfer(effort)),
        }
        for part in options.parts:
            figures[part] = parts[part]()
    rows = [[part, *_cells(found)] for part, found in figures.items()]
    print_table("durability", ["part", "done", "wrong", "figures"], rows)
    settings = {"quick": options.quick, "dim": DIM, "rounds": effort.rounds, "words": WORDS}
    write(options.out, figures, settings, before)


def _cells(found: dict[str, Any]) -> list[str]:
    """What was done how often, what was wrong, and the other figures that are single numbers."""
    name, done = next(iter(found.items()))
    others = {key: value for key, value in found.items() if key not in (name, "wrong")}
    flat = {key: value for key, value in others.items() if isinstance(value, int | float)}
    told = ", ".join(f"{key.replace('_', ' ')} {value:,.0f}" for key, value in flat.items())
    return [f"{done:,} {name}", str(found.get("wrong", 0)), told]


if __name__ == "__main__":
    run(parse_options("durability", "What is lost, what is believed, how fast rows move.", parts=PARTS))
