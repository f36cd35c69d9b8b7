"""What waits for a model: two lanes of pieces, who may join them, and which pieces run next.

Pure: no clock, no tasks, no model; the caller passes the time in. ``embedd.scheduler`` owns one ``Lanes``.

Invariants: a request is admitted whole or not at all, by the same rule whatever its size; the oldest piece
of the chosen lane is in every batch, so none waits forever; pieces of requests that are settled, left or
late are never run.
"""

import asyncio
import enum
import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count, islice, takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

from embedd.batches import BatchLimits, Forward, cut_batch, look_ahead
from embedd.encoding import Encoding
from embedd.errors import DeadlineExceeded, Overloaded
from embedd.token_vectors import TokenDtype

_SHORTEST_RETRY_S = 0.1
_MARGIN = 0.95
_SHARE_MEMORY = 0.95
_LEAST_SHARE = 0.05


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

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(eq=False, slots=True)
class Piece:
    """One input of a request and its row; ``number`` is its place among all that ever came.

    After a batch with it was lost it runs with at most ``max_batch_tokens``; ``retried`` once a worker was
    lost while it ran.
    """

    encoding: Encoding
    row: int
    request: Request
    since: float
    max_batch_tokens: int | None = None
    retried: bool = False
    number: int = -1

    @property
    def length(self) -> int:
        return len(self.encoding.ids)


@dataclass(slots=True)
class _Waiting:
    """A lane: first in, first out but for the look-ahead, and for those who leave from the middle."""

    pieces: "OrderedDict[Piece, None]" = field(default_factory=OrderedDict)
    tokens: int = 0


class Lanes:
    """The two lanes.

    ``max_waiting_tokens`` holds for each lane alone: a backlog of jobs refuses no person. Bulk pieces
    get a batch when no person waits, and at least one every ``bulk_patience_s`` when one always does.
    """

    def __init__(self, *, max_waiting_tokens: int, bulk_patience_s: float) -> None:
        self._max_waiting_tokens = max_waiting_tokens
        self._bulk_patience_s = bulk_patience_s
        self._bulk_served = 0.0
        self._bulk_share = 1.0
        self._numbers = count()
        self._waiting = {lane: _Waiting() for lane in Lane}

    def __len__(self) -> int:
        return sum(len(waiting.pieces) for waiting in self._waiting.values())

    def waiting_pieces(self, lane: Lane) -> int:
        return len(self._waiting[lane].pieces)

    def waiting_tokens(self, lane: Lane) -> int:
        return self._waiting[lane].tokens

    @property
    def oldest_since(self) -> float:
        """When the piece that has waited longest came; infinite if none waits."""
        heads = (next(iter(waiting.pieces), None) for waiting in self._waiting.values())
        return min((piece.since for piece in heads if piece), default=math.inf)

    def admit(self, lane: Lane, tokens: int, tokens_per_s: float, time_left_s: float = math.inf) -> None:
        """Raises ``Overloaded`` if the lane is full, or so long that a request of so many tokens would not be
        answered in the time it has left.

        A lane that is not full takes a request of any size: with a limit on the sum, large requests would
        wait for ever behind small ones. What waits exceeds the limit by one request at most.
        """
        waiting = self.waiting_tokens(lane)
        drain = tokens_per_s * (self._bulk_share if lane is Lane.BULK else 1.0)
        limit = min(self._max_waiting_tokens, max(_MARGIN * time_left_s * drain - tokens, 0.0))
        if waiting and waiting >= limit:
            raise Overloaded(
                f"{waiting} tokens waiting, limit {limit:.0f}",
                retry_after_s=max((waiting - limit) / drain, _SHORTEST_RETRY_S),
            )

    def add(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            waiting = self._waiting[piece.request.lane]
            if piece.number < 0:
                piece.number = next(self._numbers)
            waiting.pieces[piece] = None
            waiting.tokens += piece.length

    def put_back(self, pieces: Iterable[Piece]) -> None:
        """Returns what is still waited for of a batch that failed to where its age belongs in its lane."""
        wanted = [piece for piece in pieces if not piece.request.done.done()]
        if wanted:
            youngest = max(piece.number for piece in wanted)
            waiting = self._waiting[wanted[0].request.lane].pieces
            older = list(takewhile(lambda piece: piece.number < youngest, waiting))
            self.add(wanted)
            for piece in sorted([*older, *wanted], key=lambda piece: piece.number, reverse=True):
                waiting.move_to_end(piece, last=False)

    def drop(self, pieces: Iterable[Piece]) -> None:
        """Takes out those that still wait."""
        for piece in pieces:
            waiting = self._waiting[piece.request.lane]
            if piece in waiting.pieces:
                del waiting.pieces[piece]
                waiting.tokens -= piece.length

    def take_all(self) -> list[Piece]:
        """Empties both lanes."""
        pieces = [piece for waiting in self._waiting.values() for piece in waiting.pieces]
        self.drop(pieces)
        return pieces

    def next_batch(self, now: float, limits: BatchLimits, forward: Forward) -> list[Piece]:
        """The pieces to run now, of one lane, and no longer waiting; empty if there are none."""
        for lane in self._lanes_by_turn(now):
            if window := self._window(lane, now, limits, forward):
                cut = cut_batch(
                    [piece.length for piece in window], limits.within(window[0].max_batch_tokens), forward
                )
                batch = [window[index] for index in cut]
                self.drop(batch)
                self._note_turn(lane, now)
                return batch
        return []

    def _lanes_by_turn(self, now: float) -> tuple[Lane, Lane]:
        oldest = next(iter(self._waiting[Lane.BULK].pieces), None)
        if oldest and now - max(oldest.since, self._bulk_served) > self._bulk_patience_s:
            return Lane.BULK, Lane.INTERACTIVE
        return Lane.INTERACTIVE, Lane.BULK

    def _note_turn(self, lane: Lane, now: float) -> None:
        """What people leave of the model is the rate at which the bulk lane drains."""
        served = lane is Lane.BULK
        self._bulk_share = _SHARE_MEMORY * self._bulk_share + (1 - _SHARE_MEMORY) * served
        self._bulk_share = max(self._bulk_share, _LEAST_SHARE)
        if served:
            self._bulk_served = now

    def _window(self, lane: Lane, now: float, limits: BatchLimits, forward: Forward) -> list[Piece]:
        """The oldest piece that anyone still waits for, and of those close behind it the ones it may run
        with.
        """
        pieces = self._waiting[lane].pieces
        window: list[Piece] = []
        while pieces and not window:
            seen = look_ahead((piece.length for piece in pieces), limits, forward)
            ahead = list(islice(pieces, seen))
            window = [piece for piece in ahead if not _is_over(piece.request, now)]
            if len(window) < len(ahead):
                self.drop(set(ahead) - set(window))
        return [piece for piece in window if _are_alike(piece, window[0])]


def _is_over(request: Request, now: float) -> bool:
    if request.deadline <= now:
        request.fail(DeadlineExceeded("the request waited for the model until its deadline"))
    return request.done.done()


def _are_alike(one: Piece, other: Piece) -> bool:
    """Whether they may share a batch: what was in a lost one keeps to itself, lest it takes others along,
    and a batch has one kind of token vectors.
    """
    return (
        one.max_batch_tokens == other.max_batch_tokens
        and one.request.token_dtype == other.request.token_dtype
    )
