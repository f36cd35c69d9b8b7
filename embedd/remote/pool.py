"""The servers that have one model: which of them gets the next batch, and which are asked at all.

Knows peers and times; neither requests nor lanes. Stands where ``embedd.pool`` stands for workers of this
machine.

Invariants: a server is handed batches only while it is there and has the same model as the first that was;
one that is lost is asked again after pauses that grow; the one where the next batch would wait least gets
it.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from embedd.broadcast import Broadcast
from embedd.errors import (
    EmbeddError,
    ModelLoadError,
    ModelUnavailable,
    Overloaded,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimedOut,
)
from embedd.metrics import ModelMetrics
from embedd.ownership import beside
from embedd.places import ModelStatus
from embedd.remote.peers import Facts, Peer
from embedd.remote.probes import agree
from embedd.remote.replica import RemotePlace, RemoteReplica
from embedd.remote.specs import RemoteLimits

_log = structlog.get_logger()

T = TypeVar("T")

Tell = Callable[[str], None]
"""Told what a model that comes waits for."""

_STABLE_S = 30.0
_COMPARED_EVERY_S = 30.0
"""How often a server says what it has, however well it answers: behind an address may be others by now."""


class RemotePool:
    """Made by ``open_remote_pool``; ``facts`` are those of the first server that was there, None before."""

    def __init__(self, name: str, peers: Sequence[Peer], limits: RemoteLimits, metrics: ModelMetrics) -> None:
        self.facts: Facts | None = None
        self._name = name
        self._limits = limits
        self._metrics = metrics
        self._replicas = [RemoteReplica(name, peer, limits) for peer in peers]
        self._changed = Broadcast()
        self._clock = asyncio.get_running_loop().time

    @property
    def status(self) -> ModelStatus:
        if self._usable:
            return ModelStatus("ready")
        return ModelStatus("loading" if self.facts is None else "failed", self.problem)

    @property
    def hello(self) -> Mapping[str, Any]:
        if self.facts is None:
            return {}
        return {"device": self.facts.device or "elsewhere", "dtype": self.facts.dtype}

    @property
    def tokens_per_s(self) -> float:
        return sum(replica.tokens_per_s for replica in self._usable or self._replicas)

    @property
    def restart_s(self) -> float:
        return self._limits.pause_s

    @property
    def pids(self) -> list[int]:
        """None: nobody of them is here."""
        return []

    @property
    def live(self) -> int:
        return len(self._usable)

    @property
    def problem(self) -> str:
        """Why nobody can be asked, of each server."""
        return "; ".join(replica.problem for replica in self._replicas if replica.problem)

    @property
    def _usable(self) -> list[RemoteReplica]:
        return [replica for replica in self._replicas if replica.alive]

    async def described(self, tell: Tell) -> Facts:
        """What the first server says that is there, however long that takes; ``tell`` hears why it does.

        Raises:
            ModelLoadError: all of them are there, and none has what was asked for.
        """
        while self.facts is None:
            if all(replica.has_another for replica in self._replicas):
                raise ModelLoadError(self.problem)
            tell(self.problem)
            await self._changed.received()
        return self.facts

    async def wait_ready(self) -> None:
        while not self._usable:
            self.check()
            await self._changed.received()

    def check(self) -> None:
        if not self._usable and self.facts is not None:
            raise ModelUnavailable(f"model {self._name!r} is not there: {self.problem}", self._limits.rest_s)

    async def acquire(self) -> RemotePlace:
        while True:
            self.check()
            if free := [replica for replica in self._replicas if replica.has_room]:
                best = min(free, key=lambda replica: (replica.strikes, replica.wait_s, replica.under_way))
                return best.take_place()
            rests = [replica.rests_s for replica in self._usable]
            if rests and all(rests) and not any(replica.under_way for replica in self._usable):
                raise Overloaded(f"the servers of model {self._name!r} take nothing more now", min(rests))
            await self._changed.received(min(filter(None, rests), default=math.inf))

    def release(self, place: RemotePlace) -> None:
        place.replica.leave(place)
        self._changed.send()

    async def ask(self, question: Callable[[Peer], Awaitable[T]]) -> T:
        """The answer of the server that has least to do; of another one if it does not answer in time.

        Raises:
            ModelUnavailable: there is none; the message says why.
            UpstreamError: two of them do not answer, or there is no second.
        """
        first, *others = self._by_wait()
        if not others:
            return await self._ask_one(first, question, self._limits.silence_s)
        # Whoever asks waits for `silence_s` in all.
        try:
            return await self._ask_one(first, question, self._limits.silence_s / 2)
        except UpstreamRefused:
            raise
        except UpstreamError:
            return await self._ask_one(others[0], question, self._limits.silence_s / 2)

    async def _ask_one(
        self, replica: RemoteReplica, question: Callable[[Peer], Awaitable[T]], within_s: float
    ) -> T:
        try:
            async with asyncio.timeout(within_s):
                return await question(replica.peer)
        except UpstreamRefused:
            raise
        except UpstreamError as error:
            replica.blame(error)
            raise
        except TimeoutError as error:
            silent = UpstreamTimedOut(
                f"the server of {self._name!r} at {replica.peer.url} took more than {within_s:g} s"
            )
            replica.blame(silent)
            raise silent from error

    def _by_wait(self) -> list[RemoteReplica]:
        self.check()
        return sorted(self._usable, key=lambda replica: (replica.strikes, replica.wait_s))

    async def keep(self, number: int) -> None:
        """Asks server ``number`` how it is, forever. Owned by ``open_remote_pool``."""
        replica, pause_s = self._replicas[number], self._limits.pause_s
        while True:
            began = self._clock()
            try:
                if await self._greet(replica):
                    await self._watch(replica)
                    self._metrics.worker_restarted()
            except Exception as error:  # noqa: BLE001 - a bug that this server has found; the others go on
                problem = f"{replica.peer.url} is not understood: {error!r}"
                if problem != replica.problem:
                    _log.exception("remote_replica_absent", model=self._name, url=replica.peer.url)
                replica.give_up_all(problem)
                self._changed.send()
            if self._clock() - began > _STABLE_S:
                pause_s = self._limits.pause_s
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._limits.longest_pause_s)

    async def _greet(self, replica: RemoteReplica) -> bool:
        """Whether it is there and may be asked from now on."""
        try:
            async with asyncio.timeout(self._limits.check_s):
                facts = await replica.peer.describe()
            self._compare(facts, replica.peer.url)
        except (EmbeddError, TimeoutError) as error:
            replica.has_another = isinstance(error, ModelLoadError)
            problem = self._told(replica, error)
            if problem != replica.problem:
                _log.warning("remote_replica_absent", model=self._name, url=replica.peer.url, reason=problem)
            replica.give_up(problem)
            self._changed.send()
            return False
        self.facts = self.facts or facts
        replica.welcome(facts)
        self._changed.send()
        return True

    async def _watch(self, replica: RemoteReplica) -> None:
        """Returns when it is lost, or has another model."""
        compared_at = self._clock()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.check_every_s):
                    await replica.lost.wait()
            if not replica.alive:
                self._changed.send()
                return
            is_due = self._clock() - compared_at >= _COMPARED_EVERY_S
            if not is_due and self._clock() - replica.answered_at < self._limits.check_every_s:
                continue
            try:
                async with asyncio.timeout(self._limits.check_s):
                    if is_due:
                        self._compare(await replica.peer.describe(), replica.peer.url)
                        compared_at = self._clock()
                    else:
                        await replica.peer.check()
            except (UpstreamError, ModelLoadError, TimeoutError) as error:
                replica.give_up_all(self._told(replica, error))
            except EmbeddError:
                continue  # it is there, and says so

    def _compare(self, facts: Facts, url: str) -> None:
        """Raises ``ModelLoadError`` for another model than the first server's."""
        first = self.facts
        if first is None:
            return
        same = (facts.kind, facts.dim, facts.sha256, facts.revision, facts.max_tokens) == (
            first.kind,
            first.dim,
            first.sha256,
            first.revision,
            first.max_tokens,
        )
        if not (same and agree(facts.probe, first.probe)):
            raise ModelLoadError(
                f"the server of {self._name!r} at {url} has another model than was there before "
                f"({_summary(facts)} instead of {_summary(first)}): if that is meant, restart this service"
            )

    def _told(self, replica: RemoteReplica, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return (
                f"the server of {self._name!r} at {replica.peer.url} did not say how it is "
                f"within {self._limits.check_s:g} s"
            )
        return str(error)


def _summary(facts: Facts) -> str:
    return f"{facts.model}, {facts.dim} numbers, {facts.revision or facts.sha256[:12] or 'no revision'}"


@contextlib.asynccontextmanager
async def open_remote_pool(
    name: str, peers: Sequence[Peer], limits: RemoteLimits, metrics: ModelMetrics
) -> AsyncIterator[RemotePool]:
    """The servers ``peers``, which are asked how they are until it is left."""
    pool = RemotePool(name, peers, limits, metrics)
    async with beside(*(pool.keep(number) for number in range(len(peers)))):
        yield pool
