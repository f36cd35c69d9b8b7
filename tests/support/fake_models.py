"""The fake embedding model behind real worker processes that can be told to misbehave."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedd.embedder import Embedder, open_embedder
from embedd.fake import FakeTokenizer, fake_vectors
from embedd.specs import parse_spec


@asynccontextmanager
async def open_fake(
    faults: Path, limits: Any = None, *, replicas: int = 1, **more: Any
) -> AsyncIterator[Embedder]:
    """``faults`` is a folder whose files say how to misbehave, see ``embedd.worker.fake_backend``."""
    spec = parse_spec("fake", replicas=replicas)
    async with open_embedder(spec, limits, worker_args=["--faults", str(faults)], **more) as embedder:
        yield embedder


def expected(texts: list[str]) -> npt.NDArray[np.float32]:
    return fake_vectors([one.ids for one in FakeTokenizer().encode(texts, 256, "end")])


def batches(faults: Path) -> list[int]:
    """The tokens of every batch so far."""
    path = faults / "batches"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


async def until(condition: Callable[[], object]) -> None:
    """Returns when ``condition()`` holds; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110 - another process makes it true
        await asyncio.sleep(0.002)
