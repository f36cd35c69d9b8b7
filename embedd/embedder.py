"""The embedding model as the service sees it: texts or token ids in, vectors out. A face of ``Engine``."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from embedd.cache import Cache
from embedd.encoding import Encoding, refuse_empty
from embedd.engine import Engine, Result, StageTimes, Truncated, Work, open_engine
from embedd.errors import NoTokenVectors
from embedd.lanes import Lane
from embedd.launch import ModelLimits
from embedd.metrics import ModelMetrics
from embedd.places import ModelStatus
from embedd.specs import ModelSpec
from embedd.token_vectors import TokenDtype, TokenVectors
from embedd.tokenizer import Truncate

__all__ = ["Embedder", "Embeddings", "Lane", "ModelLimits", "StageTimes", "Truncated", "open_embedder"]


@dataclass(frozen=True, slots=True)
class Embeddings:
    """``vectors`` (n, dim), one row per input, in order; ``tokens`` embedded for each, with specials.

    ``cached`` of the vectors came from the cache. ``token_vectors``: of all tokens that were embedded,
    specials and prompt included, if they were asked for and there is an input.
    """

    vectors: npt.NDArray[np.float32]
    tokens: tuple[int, ...]
    truncated: tuple[Truncated, ...]
    times: StageTimes
    token_vectors: TokenVectors | None = None
    cached: int = 0


class Embedder:
    """A running embedding model; made by ``open_embedder``."""

    def __init__(self, engine: Engine) -> None:
        self.card = engine.card
        self.tokenizer = engine.tokenizer
        self._engine = engine

    @property
    def status(self) -> ModelStatus:
        return self._engine.status

    @property
    def device(self) -> str:
        """Where the model runs, by torch's name; empty before it was loaded for the first time."""
        return self._engine.device

    @property
    def threads(self) -> int:
        """How many cores of a CPU a worker uses; 1 before it was loaded for the first time."""
        return self._engine.threads

    @property
    def dtype(self) -> str:
        """What the model computes in, by torch's name; empty before it was loaded for the first time."""
        return self._engine.dtype

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the loaded workers."""
        return self._engine.worker_pids

    def waiting_tokens(self, lane: Lane) -> int:
        """How many tokens wait in ``lane``."""
        return self._engine.waiting_tokens(lane)

    async def wait_ready(self) -> None:
        """Returns when a worker is loaded.

        Raises:
            ModelUnavailable: none will load; the message says why.
        """
        await self._engine.wait_ready()

    async def idle(self) -> None:
        """Returns when no request is under way."""
        await self._engine.idle()

    async def embed(
        self,
        texts: Sequence[str | Sequence[int]],
        *,
        lane: Lane = Lane.INTERACTIVE,
        prompt: str = "",
        truncate: Truncate = "end",
        deadline_s: float | None = None,
        token_dtype: TokenDtype | None = None,
    ) -> Embeddings:
        """The vectors of ``texts``, each with ``prompt`` in front; waits for a worker that is loading.

        A text may be given as token ids, with or without the special tokens around them. With
        ``token_dtype`` every token's vector comes along, and the cache is left alone.

        Raises:
            InvalidInput: an input is empty, too long for ``truncate="none"``, no valid Unicode, or has ids
                that are not the model's; the message names its index. ``NotFinite`` if it has no vector,
                ``InputRefused`` by a server elsewhere, which may have no vectors of tokens
                (``NoTokenVectors``).
            OutOfMemory: an input alone is too long for the device.
            ModelUnavailable: no worker will load, or it died (``WorkerDied``).
            Overloaded: too much is waiting in this lane; nothing was started.
            DeadlineExceeded: it took longer than ``deadline_s``; what waited is dropped.
        """

        def encode(first: int, last: int) -> list[Encoding]:
            return self._encode(texts[first:last], prompt, truncate, first)

        self._refuse_tokens(token_dtype)
        async with self._engine.request(len(texts), deadline_s) as deadline:
            refuse_empty(texts)
            work = Work(len(texts), sum(map(len, texts)) + len(prompt), encode)
            result = await self._engine.run(work, lane, deadline, token_dtype)
        return Embeddings(
            result.rows, result.tokens, result.truncated, result.times, result.token_vectors, result.cached
        )

    async def embed_encoded(
        self,
        encodings: Sequence[Encoding],
        *,
        lane: Lane = Lane.INTERACTIVE,
        deadline_s: float | None = None,
        token_dtype: TokenDtype | None = None,
    ) -> Result:
        """The rows of inputs as this model reads them; raises what ``embed`` does."""
        self._refuse_tokens(token_dtype)
        async with self._engine.request(len(encodings), deadline_s) as deadline:
            return await self._engine.answer(encodings, lane, deadline, token_dtype)

    def _refuse_tokens(self, token_dtype: TokenDtype | None) -> None:
        if token_dtype is not None and not self.card.gives_tokens:
            raise NoTokenVectors(
                f"model {self.card.name!r} is on a server that gives no vectors of single tokens, which late "
                "interaction compares: name a reranking model, or serve the model with embedd"
            )

    def _encode(
        self, texts: Sequence[str | Sequence[int]], prompt: str, truncate: Truncate, first_index: int
    ) -> list[Encoding]:
        """Neighbours of the same kind together; usually that is all of them."""
        encodings: list[Encoding] = []
        limit = self.card.max_tokens
        for _, group in groupby(texts, key=lambda text: isinstance(text, str)):
            inputs = list(group)
            index = first_index + len(encodings)
            strings = [prompt + text for text in inputs if isinstance(text, str)]
            lists = [text for text in inputs if not isinstance(text, str)]
            encodings += self.tokenizer.encode(strings, limit, truncate, first_index=index)
            encodings += self.tokenizer.encode_ids(lists, limit, truncate, prompt=prompt, first_index=index)
        return encodings


@asynccontextmanager
async def open_embedder(
    spec: ModelSpec,
    limits: ModelLimits | None = None,
    *,
    metrics: ModelMetrics | None = None,
    cache: Cache | None = None,
    worker_args: Sequence[str] = (),
) -> AsyncIterator[Embedder]:
    """Starts the embedding model ``spec``; its workers load in the background, see ``Embedder.status``.

    ``worker_args`` are further arguments of the worker; tests use them to make the fake model misbehave.

    Raises:
        ModelLoadError: the model's files are not there, cannot be fetched, or describe no embedding model.
    """
    async with open_engine(
        "embedding", spec, limits, metrics=metrics, cache=cache, worker_args=worker_args
    ) as engine:
        yield Embedder(engine)
