"""Models on their way: fetched, loaded and warmed beside those that answer, each by a task of its own.

Knows no rows but those that it is given: what has become of them is told to whoever keeps them.
"""

import asyncio
from contextvars import Context
from functools import partial
from typing import Any, Final, Protocol

import structlog

from api.services.model_records import ModelRecord, record_of
from api.services.model_rows import ModelRow
from api.services.models import Models
from api.services.opening import open_row
from api.services.registry import Kind, Registry
from embedd.fetching import Progress

log = structlog.get_logger()

_NOT_EXCHANGED: Final = "the weights that were to answer in its place cannot be loaded"


class Settle(Protocol):
    """Keeps what has become of ``row``, or of the one that stays ``instead``."""

    async def __call__(self, row: ModelRow, instead: ModelRow | None = None, **facts: Any) -> None: ...


class Bringing:
    """Brings models in tasks of ``tasks``."""

    def __init__(self, models: Models, tasks: asyncio.TaskGroup, settle: Settle) -> None:
        self._models = models
        self._tasks = tasks
        self._settle = settle
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._progress: dict[str, Progress] = {}
        self._answered_by_others: set[str] = set()

    def begin(self, row: ModelRow, before: ModelRow | None = None) -> None:
        """Bring a model beside everything else, perhaps in the place of the one that it was ``before``."""
        if not row.enabled or row.name in self._coming:
            return
        registry = self._registry_of(row.kind)
        registry.broken.pop(row.name, None)
        if row.name in registry.running:
            self._answered_by_others.add(row.name)
        else:
            registry.coming[row.name] = "being fetched"
        # Not in the logging context of the request that asks for it.
        task = self._tasks.create_task(self._bring(row, before), name=f"bring {row.name}", context=Context())
        self._coming[row.name] = task
        task.add_done_callback(partial(self._brought, row.name))

    async def stop(self, name: str) -> None:
        """Bring it no more."""
        task = self._coming.get(name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def end(self, row: ModelRow) -> None:
        """Bring it no more, or end it behind its last request."""
        await self.stop(row.name)
        await self._registry_of(row.kind).remove(row.name)
        self._progress.pop(row.name, None)

    def stop_all(self) -> None:
        """Leave everything where it is."""
        for task in self._coming.values():
            task.cancel()

    def record(self, row: ModelRow) -> ModelRecord:
        """The model as it is now."""
        registry, progress = self._registry_of(row.kind), self._progress.get(row.name)
        return record_of(row, registry, progress, answered_by_others=row.name in self._answered_by_others)

    def _brought(self, name: str, task: asyncio.Task[None]) -> None:
        if self._coming.get(name) is task:
            del self._coming[name]
            self._answered_by_others.discard(name)

    async def _bring(self, row: ModelRow, before: ModelRow | None) -> None:
        registry = self._registry_of(row.kind)
        progress = self._progress[row.name] = Progress()
        told = partial(registry.tell, row.name)
        try:
            model = await registry.swap_in(
                row.name, partial(open_row, self._models.openers, row, progress, told)
            )
        except Exception as error:  # noqa: BLE001 - files may hold anything, and raise as they like
            reason = registry.fail(row.name, error)
            if before is not None and row.name in registry.running:
                await self._settle(row, before, reason=f"{_NOT_EXCHANGED}: {reason}")
            else:
                await self._settle(row, standing="failed", reason=reason)
            return
        self._answered_by_others.discard(row.name)
        card = model.card
        await self._settle(
            row,
            standing="ready",
            reason="",
            revision=card.revision or row.revision,
            sha256=card.sha256 or row.sha256,
            size_bytes=progress.total_bytes or row.size_bytes,
        )
        log.info("model_added", model=row.name, source=row.source, sha256=card.sha256)

    def _registry_of(self, kind: Kind) -> Registry[Any]:
        models = self._models
        if kind == "generator":
            return models.generators
        return models.embedders if kind == "embedding" else models.rerankers
