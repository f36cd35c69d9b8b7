"""The reranking model as the service sees it: a query and texts in, scores out. A face of ``Engine``."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from embedd.cache import Cache
from embedd.encoding import Encoding, refuse_empty
from embedd.engine import Engine, Result, StageTimes, Truncated, Work, open_engine
from embedd.errors import InvalidInput
from embedd.lanes import Lane
from embedd.launch import ModelLimits
from embedd.metrics import ModelMetrics
from embedd.model_files import Activation
from embedd.places import ModelStatus
from embedd.specs import ModelSpec
from embedd.tokenizer import Truncate

__all__ = ["Lane", "ModelLimits", "Reranker", "Scores", "open_reranker", "refuse_empty_pairs"]


@dataclass(frozen=True, slots=True)
class Scores:
    """``scores`` (n,), one per text, in order, higher for what answers the query better; ``raw`` (n,) is what
    they were before the model's activation. ``tokens`` of each pair, with query and specials.
    """

    raw: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    tokens: tuple[int, ...]
    truncated: tuple[Truncated, ...]
    times: StageTimes
    cached: int = 0


class Reranker:
    """A running cross-encoder; made by ``open_reranker``."""

    def __init__(self, engine: Engine) -> None:
        self.card = engine.card
        self.tokenizer = engine.tokenizer
        self._prompt = self.card.prompts.get(self.card.default_prompt_name or "", "")
        self._engine = engine

    @property
    def status(self) -> ModelStatus:
        return self._engine.status

    @property
    def device(self) -> str:
        """Where the model runs, by torch's name; empty before it was loaded for the first time."""
        return self._engine.device

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

    async def rerank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        lane: Lane = Lane.INTERACTIVE,
        truncate: Truncate = "end",
        deadline_s: float | None = None,
    ) -> Scores:
        """How well each of ``texts`` answers ``query``; waits for a worker that is loading.

        A pair that is too long loses text; a query that takes more than half of the model's input is cut to
        that half, so that there is always some text to judge. Either is reported.

        Raises:
            InvalidInput: the query or a text is empty or no valid Unicode, or a pair is too long for
                ``truncate="none"``; the message names the text's index. ``NotFinite`` if a pair has no score.
            OutOfMemory: a pair alone is too long for the device.
            ModelUnavailable: no worker will load, or it died (``WorkerDied``).
            Overloaded: too much is waiting in this lane; nothing was started.
            DeadlineExceeded: it took longer than ``deadline_s``; what waited is dropped.
        """
        question = self._prompt + query

        def encode(first: int, last: int) -> list[Encoding]:
            part = texts[first:last]
            return self.tokenizer.encode_pairs(
                question, part, self.card.max_tokens, truncate, first_index=first
            )

        async with self._engine.request(len(texts), deadline_s) as deadline:
            _check(query, texts)
            work = Work(len(texts), sum(map(len, texts)) + len(question), encode)
            result = await self._engine.run(work, lane, deadline)
        raw = result.rows[:, 0]
        scores = _activated(raw, self.card.activation)
        return Scores(raw, scores, result.tokens, result.truncated, result.times, result.cached)

    async def rerank_encoded(
        self, encodings: Sequence[Encoding], *, lane: Lane = Lane.INTERACTIVE, deadline_s: float | None = None
    ) -> Result:
        """The raw scores (n, 1) of pairs as this model reads them; raises what ``rerank`` does."""
        async with self._engine.request(len(encodings), deadline_s) as deadline:
            return await self._engine.answer(encodings, lane, deadline)


@asynccontextmanager
async def open_reranker(
    spec: ModelSpec,
    limits: ModelLimits | None = None,
    *,
    metrics: ModelMetrics | None = None,
    cache: Cache | None = None,
    worker_args: Sequence[str] = (),
) -> AsyncIterator[Reranker]:
    """Starts the reranking model ``spec``; its workers load in the background, see ``Reranker.status``.

    ``worker_args`` are further arguments of the worker; tests use them to make the fake model misbehave.

    Raises:
        ModelLoadError: the model's files are not there, cannot be fetched, or describe no reranker.
    """
    async with open_engine(
        "reranking", spec, limits, metrics=metrics, cache=cache, worker_args=worker_args
    ) as engine:
        yield Reranker(engine)


def refuse_empty_pairs(query: str, texts: Sequence[str]) -> None:
    """Raises ``InvalidInput`` if there is nothing in the query or in one of the texts."""
    if not query or query.isspace():
        raise InvalidInput("the query is empty")
    refuse_empty(texts)


def _check(query: str, texts: Sequence[str]) -> None:
    refuse_empty_pairs(query, texts)
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"the query is no valid Unicode: {error.reason}") from error


def _activated(raw: npt.NDArray[np.float32], activation: Activation) -> npt.NDArray[np.float32]:
    """In the form that overflows nowhere and keeps low scores apart."""
    if activation == "identity":
        return raw
    scores: npt.NDArray[np.float32] = np.exp(-np.logaddexp(np.float32(0), -raw))
    return scores
