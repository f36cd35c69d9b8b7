"""The embedding model as the service sees it: texts in, unit vectors out.

Puts together the card, the tokenizer, the pool of workers and the scheduler. Knows no HTTP and no torch.

Invariants: the loop never tokenises more than a millisecond's worth of text itself; a request fails or
succeeds as a whole; a text that was cut is reported as such.
"""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from embedd.errors import DeadlineExceeded, InvalidInput
from embedd.fake import FakeTokenizer
from embedd.lanes import Lane, Lanes
from embedd.metrics import Metrics
from embedd.pool import ModelStatus, Pool, open_pool
from embedd.replica import WorkerCommand
from embedd.scheduler import Scheduler, open_scheduler
from embedd.sources import resolve
from embedd.specs import ModelCard, ModelFiles, ModelSpec, Weights, fake_card, read_card
from embedd.tokenizer import Encoding, TextTokenizer, Truncate, read_tokenizer

__all__ = ["Embedder", "EmbedderLimits", "Embeddings", "Lane", "Truncated", "open_embedder"]

WORKER_MODULE = "embedd.worker"

_INLINE_CHARACTERS = 2000
_SLICE_TEXTS = 64


@dataclass(frozen=True, slots=True)
class EmbedderLimits:
    """Batches of at most ``max_batch_tokens`` padded tokens (more only for a single text); lanes of about
    ``max_waiting_tokens`` each; a worker that needs longer than its time is killed.
    """

    max_batch_tokens: int = 1024
    max_waiting_tokens: int = 262_144
    batch_timeout_s: float = 60.0
    load_timeout_s: float = 300.0
    bulk_patience_s: float = 1.0
    batches_in_flight: int = 2


@dataclass(frozen=True, slots=True)
class Truncated:
    """Input ``index`` had ``tokens`` tokens, of which ``kept`` were embedded; both with specials."""

    index: int
    tokens: int
    kept: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """``vectors`` (n, dim), one row per text, in order; ``tokens`` embedded for each, with specials."""

    vectors: npt.NDArray[np.float32]
    tokens: tuple[int, ...]
    truncated: tuple[Truncated, ...]


class Embedder:
    """A running embedding model; made by ``open_embedder``."""

    def __init__(
        self,
        card: ModelCard,
        tokenizer: TextTokenizer,
        pool: Pool,
        scheduler: Scheduler,
        threads: Mapping[Lane, ThreadPoolExecutor],
    ) -> None:
        self.card = card
        self.tokenizer = tokenizer
        self._pool = pool
        self._scheduler = scheduler
        self._threads = threads

    @property
    def status(self) -> ModelStatus:
        return self._pool.status

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return self._pool.pids

    def waiting_tokens(self, lane: Lane) -> int:
        """How many tokens wait in ``lane``."""
        return self._scheduler.waiting_tokens(lane)

    async def wait_ready(self) -> None:
        """Returns when a worker is loaded.

        Raises:
            ModelUnavailable: none will load; the message says why.
        """
        await self._pool.wait_ready()

    async def embed(
        self,
        texts: Sequence[str],
        *,
        lane: Lane = Lane.INTERACTIVE,
        prompt: str = "",
        truncate: Truncate = "end",
        deadline_s: float | None = None,
    ) -> Embeddings:
        """The vectors of ``texts``, each with ``prompt`` in front; waits for a worker that is loading.

        Raises:
            InvalidInput: a text is empty, too long for ``truncate="none"``, no valid Unicode, or has no
                finite vector; the message names its index.
            ModelUnavailable: no worker will load, or it died (``WorkerDied``).
            Overloaded: too much is waiting in this lane; nothing was started.
            DeadlineExceeded: it took longer than ``deadline_s``; what waited is dropped.
        """
        _refuse_empty(texts)
        try:
            async with asyncio.timeout(deadline_s) as limit:
                return await self._embed([prompt + text for text in texts], lane, truncate, limit)
        except TimeoutError:
            raise DeadlineExceeded(f"{len(texts)} texts were not embedded within {deadline_s:g} s") from None

    async def _embed(
        self, texts: Sequence[str], lane: Lane, truncate: Truncate, limit: asyncio.Timeout
    ) -> Embeddings:
        self._scheduler.admit(lane)  # a full lane refuses before any work
        encodings = await self._encode(texts, lane, truncate)
        deadline = limit.when()
        outputs = await self._scheduler.run(encodings, lane, math.inf if deadline is None else deadline)
        return Embeddings(outputs.rows, tuple(len(one.ids) for one in encodings), _truncated(encodings))

    async def _encode(self, texts: Sequence[str], lane: Lane, truncate: Truncate) -> list[Encoding]:
        """Encodes a few words here, which costs less than a thread, and more in the lane's own thread, in
        slices, so that requests in the same lane take turns.
        """
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return self.tokenizer.encode(texts, self.card.max_tokens, truncate)
        loop = asyncio.get_running_loop()
        encodings: list[Encoding] = []
        for first in range(0, len(texts), _SLICE_TEXTS):
            part = texts[first : first + _SLICE_TEXTS]
            encodings += await loop.run_in_executor(
                self._threads[lane], self._encode_slice, part, truncate, first
            )
        return encodings

    def _encode_slice(self, texts: Sequence[str], truncate: Truncate, first_index: int) -> list[Encoding]:
        return self.tokenizer.encode(texts, self.card.max_tokens, truncate, first_index=first_index)


@asynccontextmanager
async def open_embedder(
    spec: ModelSpec, limits: EmbedderLimits | None = None, *, worker_args: Sequence[str] = ()
) -> AsyncIterator[Embedder]:
    """Starts the model ``spec``; its workers load in the background, see ``Embedder.status``.

    ``worker_args`` are further arguments of the worker; tests use them to make the fake model misbehave.

    Raises:
        ModelLoadError: the model's files are not there, cannot be fetched, or describe no such model.
    """
    limits = limits or EmbedderLimits()
    weights = await asyncio.to_thread(resolve, spec)
    card, tokenizer = await asyncio.to_thread(_read, spec, weights)
    command = _command(spec, weights, card, limits, worker_args)
    metrics = Metrics(CollectorRegistry()).of(spec.name)
    lanes = Lanes(max_waiting_tokens=limits.max_waiting_tokens, bulk_patience_s=limits.bulk_patience_s)
    with ExitStack() as stack:
        threads = {lane: stack.enter_context(_one_thread(lane)) for lane in Lane}
        async with (
            open_pool([command] * spec.replicas, metrics) as pool,
            open_scheduler(pool, lanes, card.dim, metrics) as scheduler,
        ):
            yield Embedder(card, tokenizer, pool, scheduler, threads)


def _read(spec: ModelSpec, weights: Weights) -> tuple[ModelCard, TextTokenizer]:
    if spec.scheme == "fake":
        return fake_card(spec, weights), FakeTokenizer()
    files = ModelFiles.read(weights.folder)
    tokenizer = read_tokenizer(files.tokenizer_folder, lowercase=files.lowercase)
    return read_card(spec, weights), tokenizer


def _command(
    spec: ModelSpec, weights: Weights, card: ModelCard, limits: EmbedderLimits, more: Sequence[str]
) -> WorkerCommand:
    threads = max(1, len(os.sched_getaffinity(0)) // spec.replicas)
    args = ["--backend", "fake"]
    if spec.scheme != "fake":
        args = ["--backend", "sentence-transformers", "--folder", str(weights.folder)]
        args += ["--sha256", weights.sha256, "--device", spec.device, "--threads", str(threads)]
    return WorkerCommand(
        name=spec.name,
        module=WORKER_MODULE,
        args=(*args, *more),
        dim=card.dim,
        load_timeout_s=limits.load_timeout_s,
        batch_timeout_s=limits.batch_timeout_s,
        in_flight=limits.batches_in_flight,
        max_batch_tokens=limits.max_batch_tokens,
    )


def _one_thread(lane: Lane) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"tokenize-{lane.value}")


def _refuse_empty(texts: Sequence[str]) -> None:
    for index, text in enumerate(texts):
        if not text or text.isspace():
            raise InvalidInput(f"input {index} is empty")


def _truncated(encodings: Sequence[Encoding]) -> tuple[Truncated, ...]:
    return tuple(
        Truncated(index, one.total, len(one.ids))
        for index, one in enumerate(encodings)
        if one.total > len(one.ids)
    )
