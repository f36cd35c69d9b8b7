"""Models on their way: fetched, loaded and warmed beside those that answer, each by a task of its own.

Knows no rows but those that it is given: what has become of them is told to whoever keeps them.
"""

import asyncio
from collections.abc import Mapping
from contextvars import Context
from functools import partial
from itertools import chain, repeat
from typing import Any, Final, Protocol

import structlog

from api.services.model_records import ModelRecord, record_of
from api.services.model_rows import ModelRow, Outcome
from api.services.models import Models
from api.services.opening import open_row
from api.services.registry import Kind, Registry
from embedd.fetching import Progress
from index.errors import StoreError

log = structlog.get_logger()

_NOT_EXCHANGED: Final = "the weights that were to answer in its place cannot be loaded"
# After which what has become of a model is tried to be kept again.
_PAUSES_S: Final = (1.0, 2.0, 5.0, 15.0)


class Settle(Protocol):
    """Keeps what has become of ``row``, or of the one that stays ``instead``; gives that, or None if there is
    another one by now.
    """

    async def __call__(
        self, row: ModelRow, outcome: Outcome, instead: ModelRow | None = None
    ) -> ModelRow | None: ...


class Bringing:
    """Brings models in tasks of ``tasks``."""

    def __init__(self, models: Models, tasks: asyncio.TaskGroup, settle: Settle) -> None:
        self._models = models
        self._tasks = tasks
        self._settle = settle
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._progress: dict[str, Progress] = {}
        # By name: the last that was to be brought, and the one whose weights answer.
        self._begun: dict[str, ModelRow] = {}
        self._answering: dict[str, ModelRow] = {}

    def begin(self, row: ModelRow, *, undo: bool = False) -> None:
        """Bring a model beside everything else, in the place of one of its name. If it cannot be loaded it
        has failed, or, with ``undo``, the row of the one that answers is put back.
        """
        if not row.enabled or row.name in self._coming:
            return
        self._begun[row.name] = row
        registry = self._registry_of(row.kind)
        registry.broken.pop(row.name, None)
        if row.name not in registry.running:
            registry.coming[row.name] = "being fetched"
        # Not in the logging context of the request that asks for it.
        task = self._tasks.create_task(self._bring(row, undo), name=f"bring {row.name}", context=Context())
        self._coming[row.name] = task
        task.add_done_callback(partial(self._brought, row.name))

    async def stop(self, name: str) -> None:
        """Bring it no more."""
        task = self._coming.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def let_go(self, name: str) -> "asyncio.Future[None] | None":
        """Bring it no more, and have it end; done when it has, behind its last request."""
        await self.stop(name)
        self._progress.pop(name, None)
        self._answering.pop(name, None)
        begun = self._begun.pop(name, None)
        return None if begun is None else self._registry_of(begun.kind).let_go(name)

    async def follow(self, rows: Mapping[str, ModelRow]) -> None:
        """Bring those of ``rows`` that others have added, enabled or exchanged, and have those end that are
        not there any more.
        """
        for name, begun in list(self._begun.items()):
            row = rows.get(name)
            if row is None or not row.enabled or row.kind != begun.kind:
                await self.let_go(name)
        for name, row in rows.items():
            if not row.enabled or _is_same(self._begun.get(name), row):
                continue
            await self.stop(name)
            answering = self._answering.get(name)
            if answering is not None and _weights(answering) == _weights(row):
                self._begun[name] = self._answering[name] = row  # put back by others
            else:
                self.begin(row)

    def stop_all(self) -> None:
        """Leave everything where it is."""
        for task in self._coming.values():
            task.cancel()

    def record(self, row: ModelRow) -> ModelRecord:
        """The model as it is now."""
        registry, answering = self._registry_of(row.kind), self._answering.get(row.name)
        return record_of(
            row,
            registry,
            self._progress.get(row.name),
            is_coming=row.name in self._coming or not _is_same(self._begun.get(row.name), row),
            others_answer=answering is not None and not _is_same(answering, row),
        )

    def _brought(self, name: str, task: asyncio.Task[None]) -> None:
        if self._coming.get(name) is task:
            del self._coming[name]

    async def _bring(self, row: ModelRow, undo: bool) -> None:
        registry = self._registry_of(row.kind)
        progress = self._progress[row.name] = Progress()
        told = partial(registry.tell, row.name)
        try:
            model = await registry.swap_in(
                row.name, partial(open_row, self._models.openers, row, progress, told)
            )
        except Exception as error:  # noqa: BLE001 - files may hold anything, and raise as they like
            reason = registry.fail(row.name, error)
            answering = self._answering.get(row.name)
            if undo and answering is not None:
                await self._put_back(answering, row, reason)
            else:
                await self._keep(row, Outcome("failed", reason))
            return
        self._answering[row.name] = row
        card, size_bytes = model.card, progress.total_bytes or None
        outcome = Outcome("ready", "", card.revision or None, card.sha256 or None, size_bytes)
        if (kept := await self._keep(row, outcome)) is not None:
            self._answering[row.name] = kept
        log.info("model_added", model=row.name, source=row.source, sha256=card.sha256)

    async def _put_back(self, answering: ModelRow, row: ModelRow, reason: str) -> None:
        outcome = Outcome(answering.standing, f"{_NOT_EXCHANGED}: {reason}")
        kept = await self._keep(row, outcome, answering)
        if kept is not None:
            self._begun[row.name] = self._answering[row.name] = kept

    async def _keep(
        self, row: ModelRow, outcome: Outcome, instead: ModelRow | None = None
    ) -> ModelRow | None:
        """Settle it, if need be when the rows can be written again."""
        for pause_s in chain(_PAUSES_S, repeat(_PAUSES_S[-1])):
            try:
                return await self._settle(row, outcome, instead)
            except StoreError as error:
                log.warning("model_not_settled", model=row.name, reason=str(error), retry_after_s=pause_s)
            await asyncio.sleep(pause_s)
        raise AssertionError("the pauses have no end")

    def _registry_of(self, kind: Kind) -> Registry[Any]:
        models = self._models
        if kind == "generator":
            return models.generators
        return models.embedders if kind == "embedding" else models.rerankers


def _is_same(one: ModelRow | None, other: ModelRow) -> bool:
    """Whether it is that model, whatever has become known of it."""
    return one is not None and one.created_at == other.created_at


def _weights(row: ModelRow) -> tuple[object, ...]:
    return row.kind, row.source, row.revision, row.sha256, row.allow_pickle
