"""A running model, whatever it is for: from texts to tokens to rows, in time or not at all.

Puts together the card, the tokenizer, the pool of workers, the scheduler and the cache. ``Embedder`` and
``Reranker`` are its faces. Knows no HTTP and no torch.

Invariants: the loop never tokenises more than a millisecond's worth of text itself; a request fails or
succeeds as a whole; an input that was cut is reported as such.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from embedd.cache import Cache
from embedd.encoding import Encoding
from embedd.errors import DeadlineExceeded, ModelLoadError, ModelUnavailable
from embedd.fake import FakeTokenizer
from embedd.lanes import Lane, Lanes
from embedd.launch import ModelLimits, worker_commands
from embedd.metrics import Metrics, ModelMetrics
from embedd.ownership import Users
from embedd.places import ModelStatus, Places
from embedd.pool import open_pool
from embedd.scheduler import Scheduler, open_scheduler
from embedd.sharing import ModelCache, SharedRuns
from embedd.sources import resolve
from embedd.specs import ModelCard, ModelFiles, ModelKind, ModelSpec, Weights, fake_card, read_card
from embedd.token_vectors import TokenDtype, TokenVectors
from embedd.tokenizer import TextTokenizer, read_tokenizer

_INLINE_CHARACTERS = 2000
_SLICE_TEXTS = 64


@dataclass(frozen=True, slots=True)
class Truncated:
    """Input ``index`` had ``tokens`` tokens, of which ``kept`` were read by the model; both with specials.

    It had at least as many where ``exact`` is false: only one end of a text that is far too long is counted.
    """

    index: int
    tokens: int
    kept: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class StageTimes:
    """What a request spent its time on; the last two are 0 for what came from the cache."""

    tokenize_s: float
    queue_s: float
    forward_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """``count`` inputs of ``size`` characters or ids together, and what encodes those from one to another."""

    count: int
    size: int
    encode: Callable[[int, int], list[Encoding]]


@dataclass(frozen=True, slots=True)
class Result:
    """``rows`` (n, dim) of the inputs in order, of which ``cached`` came from the cache."""

    rows: npt.NDArray[np.float32]
    tokens: tuple[int, ...]
    truncated: tuple[Truncated, ...]
    times: StageTimes
    cached: int = 0
    token_vectors: TokenVectors | None = None


class Engine:
    """Made by ``open_engine``."""

    def __init__(
        self,
        card: ModelCard,
        tokenizer: TextTokenizer,
        *,
        pool: Places,
        scheduler: Scheduler,
        cache: Cache | None,
        threads: Mapping[Lane, ThreadPoolExecutor],
        metrics: ModelMetrics,
    ) -> None:
        self.card = card
        self.tokenizer = tokenizer
        self._pool = pool
        self._scheduler = scheduler
        self._cached = cache is not None
        rows = None if cache is None else ModelCache(cache, self._identity)
        self._runs = SharedRuns(scheduler, card.dim, rows, metrics)
        self._threads = threads
        self._metrics = metrics
        self._users = Users()

    @property
    def status(self) -> ModelStatus:
        return self._pool.status

    @property
    def device(self) -> str:
        """Where the model runs, by torch's name; empty before it was loaded for the first time."""
        return str(self._pool.hello.get("device", ""))

    @property
    def dtype(self) -> str:
        """What the model computes in, by torch's name; empty before it was loaded for the first time."""
        return str(self._pool.hello.get("dtype", ""))

    @property
    def threads(self) -> int:
        """How many cores of a CPU a worker uses; 1 before it was loaded for the first time."""
        return int(self._pool.hello.get("threads", 1))

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the loaded workers of this machine."""
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

    async def idle(self) -> None:
        """Returns when no request is under way."""
        await self._users.gone()

    @asynccontextmanager
    async def request(self, inputs: int, deadline_s: float | None) -> AsyncIterator[float]:
        """Around all the work of a request; gives its deadline on the loop's clock.

        Raises:
            DeadlineExceeded: it took longer than ``deadline_s``; what waited is dropped.
        """
        with self._users.using(), self._metrics.request(inputs):
            try:
                async with asyncio.timeout(deadline_s) as limit:
                    deadline = limit.when()
                    yield math.inf if deadline is None else deadline
            except TimeoutError:
                raise DeadlineExceeded(f"{inputs} inputs were not answered within {deadline_s:g} s") from None

    async def run(
        self, work: Work, lane: Lane, deadline: float, token_dtype: TokenDtype | None = None
    ) -> Result:
        """The model's rows for ``work``; with ``token_dtype`` also the vectors of all tokens, for which the
        cache, which holds none, is left alone.

        Raises: what the tokenizer and ``Scheduler.run`` do.
        """
        self._refuse_if_full(lane, deadline)
        began = time.perf_counter()
        encodings = await self._encode(work, lane)
        return await self.answer(encodings, lane, deadline, token_dtype, time.perf_counter() - began)

    async def answer(
        self,
        encodings: Sequence[Encoding],
        lane: Lane,
        deadline: float,
        token_dtype: TokenDtype | None = None,
        tokenize_s: float = 0.0,
    ) -> Result:
        """``run`` for what is encoded already, which took ``tokenize_s``."""
        tokens = tuple(len(one.ids) for one in encodings)
        truncated = _truncated(encodings)
        self._metrics.tokenized(tokenize_s, tokens)
        self._metrics.truncated(len(truncated))
        if token_dtype:
            outputs = await self._scheduler.run(encodings, lane, deadline, token_dtype)
            times = StageTimes(tokenize_s, outputs.queue_s, outputs.forward_s)
            vectors = TokenVectors.of(outputs.tokens) if outputs.tokens else None
            return Result(outputs.rows, tokens, truncated, times, token_vectors=vectors)
        rows = await self._runs.rows(encodings, lane, deadline)
        times = StageTimes(tokenize_s, rows.queue_s, rows.forward_s)
        return Result(rows.values, tokens, truncated, times, rows.cached)

    def _refuse_if_full(self, lane: Lane, deadline: float) -> None:
        """Refuses before any work; yet what is in the cache needs no worker."""
        try:
            self._scheduler.admit(lane, deadline=deadline)
        except ModelUnavailable:
            if not self._cached:
                raise

    async def _encode(self, work: Work, lane: Lane) -> list[Encoding]:
        """Encodes a few words here, which costs less than a thread, and more in the lane's own thread, in
        slices, so that requests in the same lane take turns. So is all that a server tokenizes.
        """
        if work.size <= _INLINE_CHARACTERS and self.tokenizer.here:
            return work.encode(0, work.count)
        loop = asyncio.get_running_loop()
        encodings: list[Encoding] = []
        for first in range(0, work.count, _SLICE_TEXTS):
            last = min(first + _SLICE_TEXTS, work.count)
            encodings += await loop.run_in_executor(self._threads[lane], work.encode, first, last)
        return encodings

    def _identity(self) -> bytes | None:
        """All but its input that an answer depends on; None until a worker has said what it computes in."""
        dtype = self._pool.hello.get("dtype")
        if dtype is None:
            return None
        card = self.card
        facts = (card.kind, card.sha256, card.revision, card.dim, card.pooling, card.normalized, dtype)
        return hashlib.blake2b(repr(facts).encode(), digest_size=16).digest()


@asynccontextmanager
async def open_engine(
    kind: ModelKind,
    spec: ModelSpec,
    limits: ModelLimits | None = None,
    *,
    metrics: ModelMetrics | None = None,
    cache: Cache | None = None,
    worker_args: Sequence[str] = (),
) -> AsyncIterator[Engine]:
    """Starts the model ``spec``; its workers load in the background, see ``Engine.status``.

    ``worker_args`` are further arguments of the worker; tests use them to make the fake model misbehave.

    Raises:
        ModelLoadError: the model's files are not there, cannot be fetched, or describe no model of that kind.
    """
    limits = limits or ModelLimits()
    metrics = metrics or Metrics(CollectorRegistry()).of(spec.name)
    weights = await asyncio.to_thread(resolve, spec)
    card, tokenizer = await asyncio.to_thread(_read, kind, spec, weights)
    commands = worker_commands(spec, weights, card, limits, worker_args)
    lanes = Lanes(max_waiting_tokens=limits.max_waiting_tokens, bulk_patience_s=limits.bulk_patience_s)
    with tokenizing_threads() as threads:
        async with (
            open_pool(commands, metrics) as pool,
            open_scheduler(pool, lanes, card.dim, metrics) as scheduler,
        ):
            yield Engine(
                card,
                tokenizer,
                pool=pool,
                scheduler=scheduler,
                cache=cache,
                threads=threads,
                metrics=metrics,
            )


@contextmanager
def tokenizing_threads() -> Iterator[Mapping[Lane, ThreadPoolExecutor]]:
    """One for each lane, ended when it is left."""
    with ExitStack() as stack:
        yield {lane: stack.enter_context(_one_thread(lane)) for lane in Lane}


def _read(kind: ModelKind, spec: ModelSpec, weights: Weights) -> tuple[ModelCard, TextTokenizer]:
    fake = spec.scheme == "fake"
    card = fake_card(spec, weights) if fake else read_card(spec, weights)
    if card.kind != kind:
        raise ModelLoadError(f"model {spec.name!r} is for {card.kind}, not for {kind}")
    if fake:
        return card, FakeTokenizer()
    files = ModelFiles.read(weights.folder)
    return card, read_tokenizer(
        files.tokenizer_folder,
        lowercase=files.lowercase,
        segments=files.segments,
        embedded=files.vocab_size,
    )


def _one_thread(lane: Lane) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"tokenize-{lane.value}")


def _truncated(encodings: Sequence[Encoding]) -> tuple[Truncated, ...]:
    return tuple(
        Truncated(index, one.total, len(one.ids), one.exact) for index, one in enumerate(encodings) if one.cut
    )
