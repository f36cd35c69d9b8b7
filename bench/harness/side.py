"""One side of a comparison: a process that loads once and is then asked, turn about with the others.

The invariant: when the context ends, the process has ended, by its process id and no other way.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.service import clean_environment, stop

BENCH = Path(__file__).resolve().parents[1]
LONGEST_LINE = 2**26
# What keeps a side quiet and away from the network.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore",
    "TOKENIZERS_PARALLELISM": "true",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


class SideFailed(Exception):
    """A side's process ended; it has said why on standard error."""


class Side:
    """A running side; see ``open_side``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process

    async def call(self, step: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one step; a side does one at a time.

        Raises:
            SideFailed: the process ended instead of answering.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"step": step} | arguments).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise SideFailed(f"{self.name} ended with {await self._process.wait()} during {step!r}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def open_side(
    module: str, *, cores: Sequence[int], python: Path | str = sys.executable, **configuration: Any
) -> AsyncIterator[Side]:
    """Starts ``harness.sides.<module>``, kept to ``cores``, with another interpreter for a peer."""
    process = await asyncio.create_subprocess_exec(
        str(python),
        "-m",
        f"harness.sides.{module}",
        json.dumps({"cores": list(cores)} | configuration),
        cwd=BENCH,
        env=clean_environment() | ENVIRONMENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    try:
        yield Side(module, process)
    finally:
        await stop(process)


def usable_cores() -> list[int]:
    """The cores that this process may use, in order."""
    return sorted(os.sched_getaffinity(0))
