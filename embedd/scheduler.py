"""Turns concurrent requests into batches and batches into answers.

Knows token ids, lanes and workers; neither texts nor models. One task owns the lanes: it waits for work,
then for a worker that should be handed a batch, and cuts the batch only then, so that a person who comes
late is still served first.

Invariants: every request is settled, by its outputs or by an error; what a lost worker was running runs once
more in smaller batches, if its deadline may allow, and fails with ``WorkerDied`` otherwise or the second
time; what it had not begun to run is put back as if nothing had happened; nothing ticks while nothing waits.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from embedd.encoding import Encoding
from embedd.errors import (
    BatchLost,
    CallFailed,
    DeadlineExceeded,
    EmbeddError,
    InputRefused,
    ModelUnavailable,
    NotFinite,
    OutOfMemory,
    Overloaded,
    WorkerDied,
)
from embedd.lanes import Lane, Lanes, Piece, Request
from embedd.metrics import ModelMetrics
from embedd.ownership import beside
from embedd.places import Answer, Place, Places
from embedd.token_vectors import TokenDtype

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outputs:
    """``rows`` (n, dim) in the order of the inputs; ``tokens``: their token vectors (t_i, token_dim).

    ``queue_s``: the longest wait of an input until a worker began its batch; ``forward_s``: the longest
    forward of a batch that held one.
    """

    rows: npt.NDArray[np.float32]
    tokens: list[npt.NDArray[Any]] | None
    queue_s: float
    forward_s: float


class Scheduler:
    """Made by ``open_scheduler``."""

    def __init__(self, pool: Places, lanes: Lanes, dim: int, metrics: ModelMetrics) -> None:
        self._pool = pool
        self._lanes = lanes
        self._dim = dim
        self._metrics = metrics
        self._open: set[Request] = set()
        self._work = asyncio.Event()
        self._closed = False
        self._clock = asyncio.get_running_loop().time

    @property
    def tokens_per_s(self) -> float:
        """How fast batches have been coming back lately."""
        return self._pool.tokens_per_s

    @property
    def live_workers(self) -> int:
        return self._pool.live

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest input has been waiting; 0 if none waits."""
        return max(self._clock() - self._lanes.oldest_since, 0.0)

    def waiting_pieces(self, lane: Lane) -> int:
        return self._lanes.waiting_pieces(lane)

    def waiting_tokens(self, lane: Lane) -> int:
        return self._lanes.waiting_tokens(lane)

    def admit(self, lane: Lane, tokens: int = 0, deadline: float = math.inf) -> None:
        """Raises ``Overloaded`` if a request may not join now, and ``ModelUnavailable`` if no worker will
        start. Costs nothing: ask before tokenising, without ``tokens``.
        """
        self._pool.check()
        if self._closed:
            raise _closing()
        if not self._lanes.waiting_tokens(lane):
            return  # an empty lane takes any request: its rate need not be asked for
        try:
            self._lanes.admit(lane, tokens, self.tokens_per_s, deadline - self._clock())
        except Overloaded:
            self._metrics.overloaded()
            raise

    async def run(
        self,
        inputs: Sequence[Encoding],
        lane: Lane,
        deadline: float = math.inf,
        token_dtype: TokenDtype | None = None,
    ) -> Outputs:
        """What the model makes of ``inputs``; a caller that is cancelled frees their places.

        Raises:
            NotFinite: the model has no finite answer to an input.
            OutOfMemory: an input alone is too long for the device.
            InputRefused: a server elsewhere does not take an input.
            ModelUnavailable: no worker will start; ``WorkerDied`` if one died with the request.
            Overloaded: too much is waiting.
            DeadlineExceeded: the deadline, on the loop's clock, passed while inputs were waiting.
        """
        self.admit(lane, sum(len(one.ids) for one in inputs), deadline)
        done = asyncio.get_running_loop().create_future()
        rows = np.empty((len(inputs), self._dim), dtype=np.float32)
        request = Request(lane, rows, done, deadline, len(inputs), token_dtype)
        if inputs:
            await self._wait(request, inputs)
            self._metrics.ran(request.queue_s, request.forward_s)
        tokens = [request.tokens[row] for row in range(len(inputs))] if token_dtype else None
        return Outputs(rows, tokens, request.queue_s, request.forward_s)

    async def _wait(self, request: Request, inputs: Sequence[Encoding]) -> None:
        now = self._clock()
        pieces = [Piece(one, row, request, now) for row, one in enumerate(inputs)]
        self._lanes.add(pieces)
        self._open.add(request)
        self._work.set()
        try:
            await request.done
        except (asyncio.CancelledError, DeadlineExceeded):
            self._metrics.departed(request.missing)
            raise
        finally:
            self._open.discard(request)
            self._lanes.drop(pieces)

    async def serve(self) -> None:
        """Serves requests until cancelled. Owned by ``open_scheduler``."""
        try:
            async with asyncio.TaskGroup() as batches:
                while True:
                    await self._work.wait()
                    if (place := await self._next_place()) is not None:
                        self._start_batch(place, batches)
        finally:
            self._closed = True
            _fail(self._open, _closing())

    async def _next_place(self) -> Place | None:
        """A place for a batch; None, and nothing waiting any more, if there will be none."""
        try:
            return await self._pool.acquire()
        except (ModelUnavailable, Overloaded) as error:
            _fail({piece.request for piece in self._lanes.take_all()}, error)
            self._work.clear()
            return None

    def _start_batch(self, place: Place, batches: asyncio.TaskGroup) -> None:
        replica = place.replica
        batch = self._lanes.next_batch(self._clock(), replica.limits, replica.forward)
        if not len(self._lanes):
            self._work.clear()
        if batch:
            place.tokens, place.lane = sum(piece.length for piece in batch), batch[0].request.lane
            batches.create_task(self._run_batch(place, batch))
        else:
            self._pool.release(place)

    async def _run_batch(self, place: Place, batch: Sequence[Piece]) -> None:
        inputs = [piece.encoding for piece in batch]
        try:
            answer = await place.replica.run(place, inputs, batch[0].request.token_dtype)
        except BatchLost as error:
            self._retry(batch, error, place.tokens // 2)
        except CallFailed:
            self._split(batch, place.tokens // 2, OutOfMemory(batch[0].row))
        except InputRefused as refusal:
            self._split(batch, place.tokens // 2, InputRefused(batch[0].row, refusal.reason))
        else:
            self._deliver(batch, answer)
            asyncio.get_running_loop().call_soon(self._count, place, batch, answer)  # behind who waited
        finally:
            self._pool.release(place)

    def _deliver(self, batch: Sequence[Piece], answer: Answer) -> None:
        for number, piece in enumerate(batch):
            request = piece.request
            if number in answer.bad:
                request.fail(NotFinite(piece.row))
                continue
            request.rows[piece.row] = answer.rows[number]
            if request.token_dtype:
                request.tokens[piece.row] = answer.tokens[number]
            request.queue_s = max(request.queue_s, answer.began - piece.since)
            request.forward_s = max(request.forward_s, answer.seconds)
            request.missing -= 1
            if request.missing == 0 and not request.done.done():
                request.done.set_result(None)

    def _count(self, place: Place, batch: Sequence[Piece], answer: Answer) -> None:
        padded = place.tokens
        if place.replica.forward == "padded":
            padded = len(batch) * max(piece.length for piece in batch)
        self._metrics.batch_ran(len(batch), place.tokens, padded - place.tokens)
        self._metrics.not_finite(len(answer.bad))

    def _retry(self, batch: Sequence[Piece], error: BatchLost, half: int) -> None:
        """Puts back what may run once more and fails the rest."""
        in_time = self._clock() + (0.0 if self._pool.live else self._pool.restart_s)
        lost = {
            piece.request
            for piece in batch
            if piece.request.deadline <= in_time or (error.began and piece.retried)
        }
        again = [piece for piece in batch if piece.request not in lost]
        _fail(lost, WorkerDied(f"{error}, and the request with it", retry_after_s=self._pool.restart_s))
        if error.began:
            for piece in again:
                piece.retried, piece.max_batch_tokens = True, half
        self._put_back(again)
        _log.warning("batch_lost", texts=len(batch), put_back=len(again), reason=str(error))

    def _split(self, batch: Sequence[Piece], half: int, alone: EmbeddError) -> None:
        """Runs a batch that was not taken as a whole again in parts, down to single pieces: one that is not
        taken ``alone`` either fails so, and takes no other along.
        """
        if len(batch) == 1:
            batch[0].request.fail(alone)
            return
        for piece in batch:
            piece.max_batch_tokens = half
        self._put_back(batch)

    def _put_back(self, pieces: Sequence[Piece]) -> None:
        if pieces:
            self._lanes.put_back(pieces)
            self._work.set()
            self._metrics.batch_retried()


@asynccontextmanager
async def open_scheduler(
    pool: Places, lanes: Lanes, dim: int, metrics: ModelMetrics
) -> AsyncIterator[Scheduler]:
    """A scheduler over ``pool``; requests that are open when it is left fail with ``ModelUnavailable``."""
    scheduler = Scheduler(pool, lanes, dim, metrics)
    metrics.follow(scheduler)
    async with beside(scheduler.serve()):
        yield scheduler


def _closing() -> ModelUnavailable:
    return ModelUnavailable("the model is being shut down", retry_after_s=1.0)


def _fail(requests: Iterable[Request], error: EmbeddError) -> None:
    for request in requests:
        request.fail(error)
