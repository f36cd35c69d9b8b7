"""Is every document read, or refused for the right reason, and does none of them hurt the service?

The files of a folder with a manifest go into a real service through HTTP, one at a time; then so do copies
that are spoiled from a seed. Reported for each file: what became of it, whether its text holds what the
manifest says, and how long it took; for the copies: how many ended ready or failed, by which code, and
whether the service answers as before. The fake model embeds, so the time is that of reading.
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from harness.client import Client, open_client
from harness.corpora import SEED
from harness.metrics import percentiles_ms
from harness.mutations import mutate
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import open_service

SPOILED = "spoiled"
COPIES = 500
# Of --quick.
FEWER_COPIES = 78


@dataclass(frozen=True, slots=True)
class Expected:
    """A line of the manifest: ``outcome`` is ``text``, or why there is none."""

    path: Path
    outcome: str
    contains: str
    password: str | None

    @property
    def code(self) -> str | None:
        """The code with which it must fail; None if it must be ready."""
        return None if self.outcome == "text" else self.outcome.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one file: its ``code`` if it failed, and else whether its text holds what it must."""

    name: str
    expected: str | None
    status: str
    code: str | None
    reason: str | None
    holds: bool
    seconds: float

    @property
    def is_right(self) -> bool:
        """It ended as it must."""
        return self.code == self.expected and (self.holds or self.status == "failed")

    def figures(self) -> dict[str, Any]:
        """For the result file."""
        return {
            "status": self.status,
            "code": self.code,
            "reason": self.reason,
            "holds": self.holds,
            "right": self.is_right,
            "seconds": round(self.seconds, 3),
        }


def load_manifest(folder: Path) -> list[Expected]:
    """The files of ``folder`` and what must become of them."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return [
        Expected(folder / one["file"], one["expect"], one.get("contains", ""), one.get("password"))
        for one in entries
    ]


async def read_file(client: Client, collection: str, expected: Expected, password: str | None = None) -> Seen:
    """Sends one file and looks at what became of it."""
    name, content = expected.path.name, expected.path.read_bytes()
    began = time.perf_counter()
    outcome = await client.add_file(collection, name, content, password=password)
    seconds = time.perf_counter() - began
    failed = outcome["status"] == "failed"
    text = "" if failed else await client.text(collection, name)
    return Seen(
        name if password is None else f"{name} with its password",
        None if password else expected.code,
        outcome["status"],
        outcome.get("code"),
        outcome.get("error"),
        bool(text.strip()) and one_line(expected.contains) in one_line(text),
        seconds,
    )


def one_line(text: str) -> str:
    """Line breaks are the reader's choice, so they are left out of comparisons."""
    return " ".join(text.split())


async def read_all(client: Client, collection: str, manifest: list[Expected]) -> list[Seen]:
    """Every file into a new collection, and those that are encrypted once more with their passwords."""
    await client.create_collection(collection)
    seen = [await read_file(client, collection, one) for one in manifest]
    locked = [one for one in manifest if one.password]
    return seen + [await read_file(client, collection, one, one.password) for one in locked]


async def read_spoiled(client: Client, manifest: list[Expected], copies: int) -> dict[str, Any]:
    """What became of spoiled copies, an equal number of each file that is not empty."""
    await client.create_collection(SPOILED)
    random = Random(SEED)
    outcomes: Counter[str] = Counter()
    seconds: list[float] = []
    slowest = ""
    files = [one.path for one in manifest if one.path.stat().st_size]
    for number in range(copies):
        path = files[number % len(files)]
        spoiled = mutate(path.read_bytes(), random) or b"\0"
        began = time.perf_counter()
        outcome = await client.add_file(SPOILED, f"{number}-{path.name}", spoiled)
        seconds.append(time.perf_counter() - began)
        if seconds[-1] == max(seconds):
            slowest = f"{number}-{path.name}"
        outcomes[outcome.get("code") or outcome["status"]] += 1
    return {
        "copies": copies,
        "outcomes": dict(outcomes.most_common()),
        "ms": percentiles_ms(seconds),
        "slowest": {"name": slowest, "seconds": round(max(seconds), 3)},
    }


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before = machine()
    manifest = load_manifest(options.data / "docs")
    copies = FEWER_COPIES if options.quick else COPIES
    async with open_service(model="fake") as service, open_client(service.url) as client:
        seen = await read_all(client, "before", manifest)
        spoiled = await read_spoiled(client, manifest, copies)
        again = await read_all(client, "after", manifest)
        as_before = [(one.name, one.is_right) for one in again] == [(one.name, one.is_right) for one in seen]
        memory = service.memory()
    rows = [
        [one.name, one.status, one.code or "", "yes" if one.is_right else "NO", f"{one.seconds:.2f}"]
        for one in seen
    ]
    print_table("Documents", ["file", "status", "code", "right", "seconds"], rows)
    outcomes = [[name, str(count)] for name, count in spoiled["outcomes"].items()]
    print_table(f"{copies} spoiled copies, service as before: {as_before}", ["outcome", "copies"], outcomes)
    figures = {
        "right": sum(one.is_right for one in seen),
        "files": {one.name: one.figures() for one in seen},
        "spoiled": spoiled | {"service_as_before": as_before},
        "memory": memory,
    }
    write(options.out, figures, {"quick": options.quick, "seed": SEED, "copies": copies}, before)


if __name__ == "__main__":
    asyncio.run(run(parse_options("documents", "What becomes of real documents and of spoiled ones.")))
