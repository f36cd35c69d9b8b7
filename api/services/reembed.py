"""A collection is embedded again with another model: a job of the new collection, beside all that goes on.

The job has two items, the second only if aliases are to be given to the new collection. While the first is
pending the new collection follows the old one, until a whole pass finds nothing to do. Its receipt says since
when: from there on the new collection may have writers of its own. The second gives it the aliases and brings
over what was written to the old one on the way. All else is made again after a restart.

Invariants: what was written to the new collection once the aliases may stand for it is never undone, unless
the old one was written later; aliases are not given to a collection that lacks documents.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from api.errors import Conflict, InvalidRequest
from api.services.copying import Copier
from api.services.incoming import Outcome
from api.services.models import Models
from embedd.specs import ModelCard
from index.catalogs import Collections
from index.codec import timestamp
from index.errors import CollectionNotFound, NameTaken, StoreError
from index.rows import Receipt, Stamps
from index.store import Store

PAUSE_S = 1.0
"""Between passes that wait for something else."""

LINGER_S = 5.0
"""Requests that came before the switch may write to the old collection for so long."""

_MARK = "reembed-"
_FOLLOW, _SWITCH = 0, 1
"""The items of a job."""


class Order(msgspec.Struct, frozen=True):
    """What was asked for; the model is that of the collection that has the job."""

    source: str
    switch: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` and ``failed`` documents of ``total``; ``error`` says why the order was not carried out."""

    total: int
    done: int
    failures: Sequence[Outcome]
    switched: Sequence[str] = ()
    error: str | None = None


@dataclass(slots=True)
class _Pass:
    """Over all documents of both collections; how far it is."""

    is_last: bool = False
    began: str = field(default_factory=timestamp)
    after: str | None = None
    is_dropping: bool = False
    seen: int = 0
    changed: int = 0

    async def step(self, copier: Copier, since: str | None) -> bool:
        """Go on; whether it is at its end."""
        step = await (copier.drop if self.is_dropping else copier.copy)(self.after, since)
        self.after = step.after
        self.seen += step.seen
        self.changed += step.changed
        is_end = step.after is None and self.is_dropping
        self.is_dropping |= step.after is None
        return is_end


@dataclass(slots=True)
class _Run:
    """What is known of a job in work, and found out again after a restart."""

    current: _Pass = field(default_factory=_Pass)
    failures: dict[str, tuple[Stamps, Outcome]] = field(default_factory=dict)
    switched_at: float | None = None


class Reembedder:
    """Starts such jobs and takes their turns."""

    def __init__(self, catalog: Collections, models: Models) -> None:
        self._catalog = catalog
        self._models = models
        self._runs: dict[str, _Run] = {}
        self._starting = asyncio.Lock()

    async def start(
        self,
        source: Store,
        model: str,
        into: str,
        switch: Sequence[str],
        enqueue: Callable[[str], None],
    ) -> str:
        """The job's id, which is given to ``enqueue`` if it is new: the same order again is the job that is
        under way.

        Raises:
            InvalidRequest: the collection has no model.
            UnknownModel, ModelLoadError: there is no such model to embed with.
            Conflict: ``into`` is there already, or one of ``switch`` is no alias of the collection.
            StoreError: the new collection could not be made.
        """
        settings = source.settings
        if settings.model is None:
            raise InvalidRequest(
                f"collection {settings.name!r} has no embedding model: its points have vectors that clients"
                " brought, and only they can bring others",
                param="name",
            )
        card = self._models.embedder(model).card
        order = Order(settings.name, tuple(sorted(set(switch))))
        async with self._starting:
            await self._catalog.refresh()
            if into in self._catalog.names():
                return await self._under_way(into, card, order)
            self._check_aliases(order)
            target, is_new = await self._catalog.create(
                replace(
                    settings,
                    name=into,
                    dim=card.dim,
                    model=card.name,
                    model_revision=card.revision,
                    model_sha256=card.sha256,
                )
            )
            if not is_new:  # somebody else was faster
                return await self._under_way(into, card, order)
            job_id = await self._keep(target, order)
            enqueue(job_id)
            return job_id

    async def _keep(self, target: Store, order: Order) -> str:
        into = target.settings.name
        payload = msgspec.msgpack.encode(order)
        try:
            return await target.add_job(
                f"{into}.{_MARK}{uuid.uuid4().hex}", [payload] * (2 if order.switch else 1)
            )
        except StoreError:
            await self._catalog.drop(into)
            raise

    async def _under_way(self, into: str, card: ModelCard, order: Order) -> str:
        target = await self._catalog.get(into)
        if target.settings.model_sha256 == card.sha256:
            for job_id in filter(is_reembedding, await target.unfinished_jobs()):
                if await _order_of(target, job_id) == order:
                    return job_id
        raise Conflict(
            f"collection {into!r} exists: name one that does not, or delete it",
            param="into",
            code="collection_exists",
        )

    def _check_aliases(self, order: Order) -> None:
        for alias in order.switch:
            if self._catalog.aliases.get(alias) != order.source:
                raise Conflict(
                    f"{alias!r} is no alias of {order.source!r}", param="switch", code="alias_not_found"
                )

    async def turn(self, target: Store, job_id: str) -> float | None:
        """Do some of a job; seconds until it should be called again, None if it is finished.

        Raises:
            CollectionNotFound: the collection that has the job was dropped.
            EmbeddError, RequestError, StoreError: why it cannot go on now.
        """
        try:
            pause_s = await self._go_on(target, job_id)
        except CollectionNotFound as lost:
            if lost.name == target.settings.name:
                self._runs.pop(job_id, None)
                raise
            await self._end_without_source(target, job_id, lost)
            pause_s = 0.0
        if pause_s is None:
            self._runs.pop(job_id, None)
        return pause_s

    def forget(self, job_id: str) -> None:
        """Somebody else goes on with the job, or it was cancelled."""
        self._runs.pop(job_id, None)

    async def _go_on(self, target: Store, job_id: str) -> float | None:
        items = await target.pending_items(job_id, 1)
        if not items:
            return None
        order = msgspec.msgpack.decode(items[0].payload, type=Order)
        if await self._catalog.resolve(order.source) != order.source:
            raise CollectionNotFound(order.source)  # an alias of its name is not it
        source = await self._catalog.get(order.source)
        run = self._runs.setdefault(job_id, _Run())
        embedder = self._models.embedder_of(target.settings)
        copier = Copier(source, target, embedder, run.failures)
        if items[0].position == _FOLLOW:
            return await _follow(copier, job_id, run)
        return await self._switch(copier, job_id, run, order)

    async def _end_without_source(self, target: Store, job_id: str, lost: CollectionNotFound) -> None:
        order, into = await _order_of(target, job_id), target.settings.name
        await self._catalog.refresh()
        if order and order.switch and all(self._catalog.aliases.get(one) == into for one in order.switch):
            result = {"switched": order.switch, "failures": []}  # whoever deleted it had seen the switch
            await target.settle([Receipt(job_id, _SWITCH, result)])
        else:
            await _give_up(target, job_id, f"{lost}: nothing is left to embed again")

    async def _switch(self, copier: Copier, job_id: str, run: _Run, order: Order) -> float:
        target = copier.target
        followed = (await target.job_results(job_id))[0] or {}
        if run.switched_at is None:
            if followed["failures"]:
                await _give_up(target, job_id, "the aliases stay: documents failed and would be missing")
                return 0.0
            try:
                await self._catalog.switch(order.switch, order.source, target.settings.name)
            except NameTaken as moved:
                await _give_up(target, job_id, f"the aliases stay: {moved}")
                return 0.0
            run.switched_at = time.monotonic()
            run.current = _Pass()
        if not await run.current.step(copier, followed["since"]):
            return 0.0
        if run.current.is_last:
            result = {"switched": order.switch, "failures": await _failures(copier)}
            await target.settle([Receipt(job_id, _SWITCH, result)])
            return 0.0
        run.current = _Pass(is_last=time.monotonic() >= run.switched_at + LINGER_S)
        return 0.0 if run.current.is_last else PAUSE_S

    async def progress(self, target: Store, job_id: str) -> Progress:
        """How far a job is, and in the end what came of it."""
        if (order := await _order_of(target, job_id)) is None:
            results = [result for result in await target.job_results(job_id) if result]
            return _outcome(results) if results else await _left_off(target)
        failures = [outcome for _, outcome in self._runs.get(job_id, _Run()).failures.values()]
        copied = (await target.statistics()).documents
        try:
            total = (await (await self._catalog.get(order.source)).statistics()).documents
        except CollectionNotFound:  # the job is about to notice
            total = copied
        return Progress(total, min(total, copied + len(failures)), failures)


def is_reembedding(job_id: str) -> bool:
    """Whether a job of this id embeds a collection again; others write documents."""
    return job_id.rpartition(".")[2].startswith(_MARK)


async def _order_of(target: Store, job_id: str) -> Order | None:
    """What an unfinished job was asked for; None if it is finished."""
    items = await target.pending_items(job_id, 1)
    return msgspec.msgpack.decode(items[0].payload, type=Order) if items else None


async def _follow(copier: Copier, job_id: str, run: _Run) -> float:
    """Go on with the pass; one that found nothing to do, while nothing waited to be written, is the last."""
    if not await run.current.step(copier, None):
        return 0.0
    done = run.current
    run.current = _Pass()
    if done.changed:
        return 0.0
    if await copier.source.unfinished_jobs():
        return PAUSE_S
    result = {"since": done.began, "total": done.seen, "failures": await _failures(copier)}
    await copier.target.settle([Receipt(job_id, _FOLLOW, result)])
    return 0.0


async def _failures(copier: Copier) -> list[Mapping[str, Any]]:
    """Of documents that are still there."""
    there = await copier.source.revisions(list(copier.failures))
    return [msgspec.to_builtins(one) for id_, (_, one) in copier.failures.items() if id_ in there]


async def _give_up(target: Store, job_id: str, why: str) -> None:
    items = (_FOLLOW, _SWITCH)
    await target.settle([Receipt(job_id, position, {"error": why}, failed=True) for position in items])


async def _left_off(target: Store) -> Progress:
    """Of a job that was cancelled while it copied: the copies stay."""
    copied = (await target.statistics()).documents
    return Progress(copied, copied, ())


def _outcome(results: Sequence[Mapping[str, Any]]) -> Progress:
    """From the receipts of all items."""
    failures = {one["id"]: Outcome(**one) for result in results for one in result.get("failures", ())}
    total = results[0].get("total", 0)
    error = next((result["error"] for result in results if "error" in result), None)
    return Progress(total, total, list(failures.values()), results[-1].get("switched", ()), error)
