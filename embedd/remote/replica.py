"""One server that has a model, as far as this service counts on it: what it was handed, how fast it is, and
why it is not asked now.

Knows peers and their answers; neither requests nor lanes. ``embedd.remote.pool`` decides who gets a batch.

Invariants: what a server answers is held against what it said of itself; a batch that is lost says so, and
whether it may have been begun. A bad answer is one batch's affair, several in a row are the server's.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from embedd.batches import BatchLimits, Forward
from embedd.encoding import Encoding
from embedd.errors import BatchLost, Overloaded, UpstreamError, UpstreamFailed, UpstreamUnavailable
from embedd.lanes import Lane
from embedd.pace import Pace
from embedd.places import Answer
from embedd.remote.peers import Facts, Peer, Told
from embedd.remote.specs import RemoteLimits
from embedd.remote.window import Window
from embedd.token_vectors import TokenDtype

_log = structlog.get_logger()

_MOST_STRIKES = 3
"""Bad answers in a row after which a server is given up."""


@dataclass(eq=False, slots=True)
class RemotePlace:
    """A place for one batch of ``tokens`` out of ``lane`` at ``replica``."""

    replica: "RemoteReplica"
    tokens: int = 0
    lane: Lane = Lane.INTERACTIVE


class RemoteReplica:
    """One server; ``problem`` says why it is not asked, empty while it is. ``has_another``: it answered, and
    what it has is not what was asked for. ``strikes`` counts bad answers since the last good one.
    """

    forward: Forward = "packed"

    def __init__(self, name: str, peer: Peer, limits: RemoteLimits) -> None:
        self.peer = peer
        self.problem = f"{peer.url} was not asked yet"
        self.has_another = False
        self.lost = asyncio.Event()
        self.strikes = 0
        self.answered_at = -math.inf
        self._name = name
        self._times = limits
        self._facts: Facts | None = None
        self._pace = Pace()
        self._window = Window()
        self._places: set[RemotePlace] = set()
        self._runs: set[asyncio.Task[Told]] = set()
        self._rests_until = -math.inf
        self._waiting_there = 0.0
        self._told_at = -math.inf
        self._clock = asyncio.get_running_loop().time

    @property
    def alive(self) -> bool:
        return not self.problem

    @property
    def limits(self) -> BatchLimits:
        facts = self._known
        return BatchLimits.of_tokens(facts.max_batch_tokens, facts.max_inputs)

    @property
    def tokens_per_s(self) -> float:
        return self._pace.tokens_per_s

    @property
    def rests_s(self) -> float:
        """How much longer it does not want to be asked; 0 if it may be."""
        return max(0.0, self._rests_until - self._clock())

    @property
    def has_room(self) -> bool:
        return self.alive and len(self._places) < self._window.size and not self.rests_s

    @property
    def wait_s(self) -> float:
        """How long a further batch would wait there: behind ours, and behind those of others that it told
        of.
        """
        since_s = self._clock() - self._told_at
        others = (
            max(0.0, self._waiting_there - since_s * self.tokens_per_s) if math.isfinite(since_s) else 0.0
        )
        return (sum(place.tokens for place in self._places) + others) / self.tokens_per_s

    @property
    def under_way(self) -> int:
        """Batches that it was handed."""
        return len(self._places)

    @property
    def _known(self) -> Facts:
        assert self._facts is not None, "it was welcomed"
        return self._facts

    def welcome(self, facts: Facts) -> None:
        """It is there, and has what it should."""
        self._facts = facts
        self._window, self._waiting_there, self._rests_until = Window(), 0.0, -math.inf
        self.problem, self.has_another, self.answered_at, self.strikes = "", False, self._clock(), 0
        self.lost.clear()
        _log.info("remote_replica_ready", model=self._name, url=self.peer.url, device=facts.device)

    def give_up(self, problem: str) -> None:
        """Ask it nothing until it is welcomed again."""
        if self.alive:
            _log.error("remote_replica_lost", model=self._name, url=self.peer.url, reason=problem)
        self.problem = problem
        self.lost.set()

    def give_up_all(self, problem: str) -> None:
        """Also what it was asked: it would wait for an answer that does not come."""
        self.give_up(problem)
        for run in self._runs:
            run.cancel()

    def blame(self, error: UpstreamError) -> None:
        """It is not there, or has answered badly, or not at all."""
        self.strikes += 1
        if isinstance(error, UpstreamUnavailable) or self.strikes >= _MOST_STRIKES:
            self.give_up(str(error))

    def take_place(self) -> RemotePlace:
        """A place there, to be given back with ``leave``."""
        place = RemotePlace(self)
        self._places.add(place)
        return place

    def leave(self, place: RemotePlace) -> None:
        self._places.discard(place)

    async def run(
        self, place: RemotePlace, inputs: Sequence[Encoding], token_dtype: TokenDtype | None = None
    ) -> Answer:
        """The model's answer to n inputs, with the vectors of all their tokens if ``token_dtype`` is given.

        Raises:
            CallFailed: they do not fit into the server's memory together.
            InputRefused: it does not take one of them, or all of them together.
            BatchLost: it died, hangs, takes nothing now, or answers nonsense.
        """
        began, full = self._clock(), len(self._places) >= self._window.size
        try:
            async with asyncio.timeout(self._times.silence_s):
                told = await self._ask(place, inputs, token_dtype)
            self._check(told, inputs, with_tokens=token_dtype is not None)
        except Overloaded as error:
            self._rests_until = self._clock() + (error.retry_after_s or self._times.rest_s)
            self._window.halve()
            raise BatchLost(str(error), began=False) from error
        except TimeoutError as error:
            self.give_up(
                f"the server of {self._name!r} at {self.peer.url} took more than {self._times.silence_s:g} s"
            )
            raise BatchLost(self.problem, began=True) from error
        except UpstreamError as error:
            self.blame(error)
            raise BatchLost(str(error), began=not isinstance(error, UpstreamUnavailable)) from error
        seconds = self._clock() - began
        self._learn(place, told, seconds, full=full)
        bad = np.flatnonzero(~np.isfinite(told.rows).all(axis=1))
        return Answer(told.rows, frozenset(bad.tolist()), told.tokens, began, seconds)

    async def _ask(
        self, place: RemotePlace, inputs: Sequence[Encoding], token_dtype: TokenDtype | None
    ) -> Told:
        """Its answer, or the reason why it was given up meanwhile."""
        run = asyncio.ensure_future(self.peer.run(inputs, place.lane, token_dtype))
        self._runs.add(run)
        try:
            return await run
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if run.cancelled() and task is not None and not task.cancelling():
                raise UpstreamFailed(self.problem) from None
            raise
        finally:
            run.cancel()
            self._runs.discard(run)

    def _check(self, told: Told, inputs: Sequence[Encoding], *, with_tokens: bool) -> None:
        """Raises ``UpstreamFailed`` unless there is one vector of the known length for each input."""
        shape, expected = told.rows.shape, (len(inputs), self._known.dim)
        lengths = [len(one.ids) for one in inputs] if with_tokens else []
        if shape != expected or [len(one) for one in told.tokens] != lengths:
            raise UpstreamFailed(
                f"the server of {self._name!r} at {self.peer.url} answered vectors of shape {shape}, "
                f"not {expected}"
            )

    def _learn(self, place: RemotePlace, told: Told, seconds: float, *, full: bool) -> None:
        self.answered_at, self.strikes = self._clock(), 0
        self._pace.add(place.tokens, seconds / max(1, len(self._places)))
        self._window.add(place.tokens, seconds, full=full)
        if told.waiting_tokens is not None:
            self._waiting_there, self._told_at = told.waiting_tokens, self.answered_at
