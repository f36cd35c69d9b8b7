"""What waits for a model: two lanes of pieces, who may join them, and which pieces run next.

Pure: no clock, no tasks, no model; the caller passes the time in. ``embedd.scheduler`` owns one ``Lanes``.

Invariants: a request is admitted whole or not at all; the oldest piece of the chosen lane is in every
batch, so none waits forever; pieces of requests that are settled or left are never run.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from embedd.errors import Overloaded
from embedd.token_vectors import TokenDtype
from embedd.tokenizer import Encoding

LOOK_AHEAD = 512
"""Pieces that are looked over for ones of similar length. Sorting them takes 0.1 ms, a batch tens."""


class Lane(enum.Enum):
    """Who is waiting: a person (served first), or a job."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(eq=False, slots=True)
class Request:
    """One call of ``Scheduler.run``: ``rows`` (n, dim) are filled in, ``done`` is set when all are.

    ``deadline`` is on the loop's clock, infinite where there is none. ``missing`` counts rows to come.
    ``tokens`` takes the token vectors of each input where a ``token_dtype`` asks for them.
    """

    lane: Lane
    rows: npt.NDArray[np.float32]
    done: asyncio.Future[None]
    deadline: float
    missing: int
    token_dtype: TokenDtype | None = None
    tokens: dict[int, npt.NDArray[Any]] = field(default_factory=dict)
    queue_s: float = 0.0
    forward_s: float = 0.0


@dataclass(eq=False, slots=True)
class Piece:
    """One input of a request and its row; ``retried`` once a worker has died with it."""

    encoding: Encoding
    row: int
    request: Request
    since: float
    retried: bool = False

    @property
    def length(self) -> int:
        return len(self.encoding.ids)

    @property
    def departed(self) -> bool:
        return self.request.done.done()


def cut_batch(lengths: Sequence[int], max_batch_tokens: int) -> list[int]:
    """The indices of the pieces to run together, shortest first; index 0 is always among them.

    A batch costs its count times its longest. Of all runs of neighbours in length that hold index 0 and
    cost at most ``max_batch_tokens``, the one with the most real tokens; index 0 alone if it is too long.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    oldest = order.index(0)
    sums = [0]
    for index in order:
        sums.append(sums[-1] + lengths[index])
    best, most = (oldest, oldest + 1), lengths[0]
    for last in range(oldest, len(order)):
        first = max(0, last + 1 - max_batch_tokens // lengths[order[last]])
        if first > oldest:
            break
        if sums[last + 1] - sums[first] > most:
            best, most = (first, last + 1), sums[last + 1] - sums[first]
    return order[slice(*best)]


@dataclass(slots=True)
class _Waiting:
    pieces: deque[Piece] = field(default_factory=deque)
    tokens: int = 0


class Lanes:
    """The two lanes, first in first out but for the look-ahead.

    ``max_waiting_tokens`` holds for each lane alone: a backlog of jobs refuses no person. Bulk pieces
    get a batch when no person waits, and at least one every ``bulk_patience_s`` when one always does.
    """

    def __init__(self, *, max_batch_tokens: int, max_waiting_tokens: int, bulk_patience_s: float) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._max_waiting_tokens = max_waiting_tokens
        self._bulk_patience_s = bulk_patience_s
        self._bulk_served = 0.0
        self._waiting = {lane: _Waiting() for lane in Lane}

    def __len__(self) -> int:
        return sum(len(waiting.pieces) for waiting in self._waiting.values())

    def waiting_tokens(self, lane: Lane) -> int:
        return self._waiting[lane].tokens

    def admit(self, lane: Lane, tokens: int, tokens_per_s: float) -> None:
        """Raises ``Overloaded`` unless a request of that many tokens may join.

        A request counts for at most half the limit: one that is larger than the limit is legal, and is
        let in when the lane is half empty instead of never.
        """
        waiting = self._waiting[lane].tokens
        excess = waiting + min(tokens, self._max_waiting_tokens // 2) - self._max_waiting_tokens
        if excess > 0:
            raise Overloaded(
                f"{waiting} tokens waiting, {tokens} more asked for, limit {self._max_waiting_tokens}",
                retry_after_s=max(excess / tokens_per_s, 0.1),
            )

    def add(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            waiting = self._waiting[piece.request.lane]
            waiting.pieces.append(piece)
            waiting.tokens += piece.length

    def put_back(self, pieces: Sequence[Piece]) -> None:
        """Returns pieces of a batch that failed to the front of their lanes."""
        for piece in sorted(pieces, key=lambda piece: piece.since, reverse=True):
            waiting = self._waiting[piece.request.lane]
            waiting.pieces.appendleft(piece)
            waiting.tokens += piece.length

    def next_batch(self, now: float) -> list[Piece]:
        """The pieces to run now, of one lane, and no longer waiting; empty if there are none."""
        for lane in self._lanes_by_turn(now):
            taken = self._take_window(self._waiting[lane])
            if taken:
                window = _alike(taken)
                chosen = cut_batch([piece.length for piece in window], self._max_batch_tokens)
                batch = [window[index] for index in chosen]
                self._return(taken, leave_out=set(batch))
                if lane is Lane.BULK:
                    self._bulk_served = now
                return batch
        return []

    def take_all(self) -> list[Piece]:
        """Empties both lanes."""
        pieces = [piece for waiting in self._waiting.values() for piece in waiting.pieces]
        self._waiting = {lane: _Waiting() for lane in Lane}
        return pieces

    def _lanes_by_turn(self, now: float) -> tuple[Lane, Lane]:
        bulk = self._waiting[Lane.BULK].pieces
        if bulk and now - max(bulk[0].since, self._bulk_served) > self._bulk_patience_s:
            return Lane.BULK, Lane.INTERACTIVE
        return Lane.INTERACTIVE, Lane.BULK

    def _take_window(self, waiting: _Waiting) -> list[Piece]:
        """Takes the oldest pieces whose clients are still there out of the lane."""
        window: list[Piece] = []
        while waiting.pieces and len(window) < LOOK_AHEAD:
            piece = waiting.pieces.popleft()
            waiting.tokens -= piece.length
            if not piece.departed:
                window.append(piece)
        return window

    def _return(self, window: Sequence[Piece], leave_out: set[Piece]) -> None:
        self.put_back([piece for piece in window if piece not in leave_out])


def _alike(window: Sequence[Piece]) -> list[Piece]:
    """Those that may share a batch with the oldest: a batch has one kind of token vectors, or none."""
    return [piece for piece in window if piece.request.token_dtype == window[0].request.token_dtype]
