"""Turns concurrent requests into batches and batches into answers.

Knows token ids, lanes and replicas; neither texts nor models. One task owns the lanes: it waits for work,
then for a replica, and cuts the batch only then, so that a person who comes late is still served first.

Invariants: every request is settled, by its vectors or by an error; what a dying replica held runs once
more if its deadline may allow, and fails with ``WorkerDied`` otherwise or the second time; nothing ticks
while nothing waits.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from embedd.errors import ChildError, EmbeddError, InvalidInput, ModelUnavailable, WorkerDied
from embedd.lanes import Lane, Lanes, Piece, Request
from embedd.ownership import beside
from embedd.pool import Answer, Pool, Replica
from embedd.token_vectors import TokenDtype
from embedd.tokenizer import Encoding

RESTART_S = 5.0
"""What a new worker is expected to take; a request with less time left is not put back to wait for it."""

_FIRST_RATE = 1000.0
_RATE_MEMORY = 0.8

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outputs:
    """``rows`` (n, dim) in the order of the inputs; ``tokens``: their token vectors (t_i, token_dim).

    ``queue_s``: the longest wait of an input for a worker; ``forward_s``: the longest forward of a batch
    that held one.
    """

    rows: npt.NDArray[np.float32]
    tokens: list[npt.NDArray[Any]] | None
    queue_s: float
    forward_s: float


class Scheduler:
    """Made by ``open_scheduler``."""

    def __init__(self, pool: Pool, lanes: Lanes, dim: int) -> None:
        self._pool = pool
        self._lanes = lanes
        self._dim = dim
        self._open: set[Request] = set()
        self._work = asyncio.Event()
        self._tokens_per_s = _FIRST_RATE
        self._delivered = 0.0
        self._clock = asyncio.get_running_loop().time

    @property
    def tokens_per_s(self) -> float:
        """How fast batches have been coming back lately."""
        return self._tokens_per_s

    def waiting_tokens(self, lane: Lane) -> int:
        return self._lanes.waiting_tokens(lane)

    def admit(self, lane: Lane, tokens: int) -> None:
        """Raises ``Overloaded`` if a request of that many tokens may not join, ``ModelUnavailable`` if no
        replica will start.
        """
        self._pool.check()
        self._lanes.admit(lane, tokens, self._tokens_per_s)

    async def run(
        self,
        inputs: Sequence[Encoding],
        lane: Lane,
        deadline: float = math.inf,
        token_dtype: TokenDtype | None = None,
    ) -> Outputs:
        """What the model makes of ``inputs``; a caller that is cancelled frees their places.

        Raises:
            InvalidInput: an input has no finite answer.
            ModelUnavailable: no replica will start; ``WorkerDied`` if one died with the request.
            Overloaded: too much is waiting.
        """
        self.admit(lane, sum(len(one.ids) for one in inputs))
        done = asyncio.get_running_loop().create_future()
        rows = np.empty((len(inputs), self._dim), dtype=np.float32)
        request = Request(lane, rows, done, deadline, len(inputs), token_dtype)
        if inputs:
            await self._wait(request, inputs)
        tokens = [request.tokens[row] for row in range(len(inputs))] if token_dtype else None
        return Outputs(rows, tokens, request.queue_s, request.forward_s)

    async def _wait(self, request: Request, inputs: Sequence[Encoding]) -> None:
        now = self._clock()
        self._lanes.add([Piece(one, row, request, now) for row, one in enumerate(inputs)])
        self._open.add(request)
        self._work.set()
        try:
            await request.done
        finally:
            self._open.discard(request)

    async def serve(self) -> None:
        """Serves requests until cancelled. Owned by ``open_scheduler``."""
        try:
            async with asyncio.TaskGroup() as batches:
                while True:
                    await self._work.wait()
                    if (replica := await self._next_replica()) is not None:
                        self._start_batch(replica, batches)
        finally:
            self._fail(self._open, ModelUnavailable("the model is being shut down", retry_after_s=1.0))

    async def _next_replica(self) -> Replica | None:
        """A replica with a free place; None, and nothing waiting any more, if there will be none."""
        try:
            return await self._pool.acquire()
        except ModelUnavailable as error:
            self._fail({piece.request for piece in self._lanes.take_all()}, error)
            self._work.clear()
            return None

    def _start_batch(self, replica: Replica, batches: asyncio.TaskGroup) -> None:
        batch = self._lanes.next_batch(self._clock())
        if not len(self._lanes):
            self._work.clear()
        if batch:
            batches.create_task(self._run_batch(replica, batch))
        else:
            self._pool.release(replica)

    async def _run_batch(self, replica: Replica, batch: Sequence[Piece]) -> None:
        started = self._clock()
        try:
            answer = await replica.run([piece.encoding for piece in batch], batch[0].request.token_dtype)
        except ChildError as error:
            self._retry(batch, error)
        else:
            self._measure(batch, started)
            self._deliver(batch, answer, started)
        finally:
            self._pool.release(replica)

    def _deliver(self, batch: Sequence[Piece], answer: Answer, started: float) -> None:
        for number, piece in enumerate(batch):
            request = piece.request
            if number in answer.bad:
                self._fail([request], InvalidInput(f"input {piece.row} has no finite embedding"))
                continue
            request.rows[piece.row] = answer.rows[number]
            if request.token_dtype:
                request.tokens[piece.row] = answer.tokens[number]
            request.queue_s = max(request.queue_s, started - piece.since)
            request.forward_s = max(request.forward_s, answer.seconds)
            request.missing -= 1
            if request.missing == 0 and not request.done.done():
                request.done.set_result(None)

    def _retry(self, batch: Sequence[Piece], error: ChildError) -> None:
        """Puts back what may run once more and fails the rest."""
        in_time = self._clock() + (0.0 if self._pool.pids else RESTART_S)
        again = [piece for piece in batch if not piece.retried and piece.request.deadline > in_time]
        lost = {piece.request for piece in batch} - {piece.request for piece in again}
        self._fail(lost, WorkerDied(f"{error}, and the request with it", retry_after_s=RESTART_S))
        for piece in again:
            piece.retried = True
        self._lanes.put_back(again)
        if again:
            self._work.set()
        _log.warning("batch_lost", texts=len(batch), put_back=len(again), reason=str(error))

    def _fail(self, requests: Sequence[Request] | set[Request], error: EmbeddError) -> None:
        for request in requests:
            if not request.done.done():
                request.done.set_exception(error)

    def _measure(self, batch: Sequence[Piece], started: float) -> None:
        """Follows the rate of all replicas together: the tokens since the last batch came back."""
        now = self._clock()
        tokens = sum(piece.length for piece in batch)
        rate = tokens / max(now - max(started, self._delivered), 1e-4)
        self._tokens_per_s = _RATE_MEMORY * self._tokens_per_s + (1 - _RATE_MEMORY) * rate
        self._delivered = now


@asynccontextmanager
async def open_scheduler(pool: Pool, lanes: Lanes, dim: int) -> AsyncIterator[Scheduler]:
    """A scheduler over ``pool``; requests that are open when it is left fail with ``ModelUnavailable``."""
    scheduler = Scheduler(pool, lanes, dim)
    async with beside(scheduler.serve()):
        yield scheduler
