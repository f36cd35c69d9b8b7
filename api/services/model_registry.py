"""Models that come and go while the service runs: the use cases behind HTTP, gRPC and the command line.

A model that is added is a row first, then its files are fetched, then it is loaded and warmed, and only then
it is there for requests. Models that settings name are listed beside them, and are nobody's to change here.

Invariants: what is answered is on disk; each model is brought by a task of its own, so that a bad one holds
up no other; what was enabled is brought again at the next start, from where it was cut short.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

import structlog

from api.errors import Conflict
from api.services.model_checks import check_model, differences
from api.services.model_rows import ModelRow, ModelRows
from api.services.models import Models
from api.services.registry import Kind, ModelState, Registry
from embedd.errors import UnknownModel
from embedd.fetching import Progress
from embedd.ownership import owned_tasks
from embedd.remote.specs import is_remote
from embedd.specs import lies_afar
from index.catalogs import Collections
from index.errors import CollectionNotFound

log = structlog.get_logger()

Status = Literal["registered", "downloading", "loading", "ready", "stalled", "failed"]

MOST_MODELS: Final = 200


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model as it is now; without a ``row`` settings name it.

    ``progress`` counts the bytes of files out of a bucket that are being fetched, or were since the start.
    """

    name: str
    kind: Kind
    status: Status
    reason: str
    row: ModelRow | None = None
    state: ModelState | None = None
    progress: Progress | None = None


class ModelRegistry:
    """Made by `open_model_registry`."""

    def __init__(
        self, models: Models, catalog: Collections, rows: ModelRows, tasks: asyncio.TaskGroup
    ) -> None:
        self._models = models
        self._catalog = catalog
        self._rows = rows
        self._tasks = tasks
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._progress: dict[str, Progress] = {}
        self._changing = asyncio.Lock()

    def records(self) -> Iterator[ModelRecord]:
        """Every model: those of the settings, then the others by name."""
        for state in self._models.states():
            if self._rows.get(state.name) is None:
                yield ModelRecord(
                    state.name, state.kind, state.status.state, state.status.reason, state=state
                )
        yield from (self._record(row) for row in self._rows)

    def get(self, name: str) -> ModelRecord:
        """The model called ``name``.

        Raises:
            UnknownModel: there is none.
        """
        known = list(self.records())
        found = next((record for record in known if record.name == name), None)
        if found is None:
            raise UnknownModel(name, [record.name for record in known])
        return found

    async def add(self, wanted: ModelRow) -> tuple[ModelRecord, bool]:
        """The model ``wanted``, and whether it is new; it is fetched and loaded in the background. One
        that is there with these settings is as good, and brought again if it has failed.

        Raises:
            InvalidRequest: there can be no such model.
            Conflict: one of that name has other settings, or the settings of the service name it.
            StorageFailed, StorageFull: it is not kept.
        """
        check_model(wanted, self._models.openers)
        await self._rows.refresh()
        async with self._changing:
            row = self._rows.get(wanted.name)
            if row is None:
                self._refuse_configured(wanted.name)
                self._refuse_one_more()
                row = await self._rows.put(wanted)
                self._begin(row)
                return self._record(row), True
            if differing := differences(row, wanted):
                raise Conflict(
                    f"model {row.name!r} is there with another {' and '.join(differing)}: remove it "
                    "first, or choose another name",
                    param=differing[0],
                    code="model_exists",
                )
            if self._record(row).status == "failed":
                self._begin(row)
            return self._record(row), False

    async def change(
        self, name: str, *, enabled: bool | None = None, description: str | None = None
    ) -> ModelRecord:
        """Enable, disable or describe a model that was added.

        Raises:
            UnknownModel: there is none.
            Conflict: the settings of the service name it.
            StorageFailed, StorageFull: nothing has changed.
        """
        await self._rows.refresh()
        async with self._changing:
            row = self._own(name)
            was_enabled = row.enabled
            row = await self._rows.put(
                replace(
                    row,
                    enabled=was_enabled if enabled is None else enabled,
                    description=row.description if description is None else description,
                )
            )
            if was_enabled and not row.enabled:
                await self._end(row)
                row = await self._rows.put(replace(row, standing="registered", reason=""))
            elif row.enabled and not was_enabled:
                self._begin(row)
            return self._record(row)

    async def remove(self, name: str, *, force: bool = False) -> bool:
        """Forget a model that was added, behind its last request; gives whether it was there. Its files stay.

        Raises:
            Conflict: the settings of the service name it, or collections are made with it and there is no
                ``force``.
            StorageFailed, StorageFull: it is still there.
        """
        await self._rows.refresh()
        async with self._changing:
            if self._rows.get(name) is None:
                self._refuse_configured(name)
                return False
            row = self._own(name)
            if not force and (using := await self._collections_of(name)):
                raise Conflict(
                    f"model {name!r} made the collections {', '.join(using)}: delete or embed them again "
                    "first, or insist (force)",
                    param="force",
                    code="model_in_use",
                )
            await self._rows.remove(name)
            await self._end(row)
            return True

    def begin_all(self) -> None:
        """Bring every enabled model; called once."""
        for row in self._rows:
            self._begin(row)

    def follow(self, before: Mapping[str, ModelRow]) -> None:
        """Bring what others have added or enabled, and end what they have removed or disabled, beside all
        else: the last requests of a model may take their time.
        """
        self._tasks.create_task(self._follow(before), context=Context())

    async def _follow(self, before: Mapping[str, ModelRow]) -> None:
        async with self._changing:
            now = {row.name: row for row in self._rows}
            was, wanted = _enabled(before), _enabled(now)
            for name in was - wanted:
                await self._end(before[name[0]])
            for name in wanted - was:
                self._begin(now[name[0]])

    def stop(self) -> None:
        """Leave what is being brought as it is, for the next start."""
        for task in self._coming.values():
            task.cancel()

    def _begin(self, row: ModelRow) -> None:
        """Bring a model beside everything else."""
        if not row.enabled or row.name in self._coming:
            return
        registry = self._registry_of(row.kind)
        registry.broken.pop(row.name, None)
        registry.coming[row.name] = "being fetched"
        # Not in the logging context of the request that asks for it.
        task = self._tasks.create_task(self._bring(row), name=f"bring {row.name}", context=Context())
        self._coming[row.name] = task
        task.add_done_callback(lambda _: self._coming.pop(row.name, None))

    async def _bring(self, row: ModelRow) -> None:
        registry = self._registry_of(row.kind)
        progress = self._progress[row.name] = Progress()
        try:
            model = await registry.swap_in(row.name, lambda: self._opening(row, progress))
        except Exception as error:  # noqa: BLE001 - files may hold anything, and raise as they like
            await self._settle(row, standing="failed", reason=registry.fail(row.name, error))
            return
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

    async def _settle(self, row: ModelRow, **facts: Any) -> None:
        """Keep what has become of it; the row may have been described or removed meanwhile."""
        async with self._changing:
            current = self._rows.get(row.name)
            if current is not None and current.enabled:
                await self._rows.put(replace(current, **facts))

    def _opening(self, row: ModelRow, progress: Progress) -> AbstractAsyncContextManager[Any]:
        openers = self._models.openers
        pins: dict[str, Any] = {
            "revision": row.revision,
            "sha256": row.sha256,
            "allow_pickle": row.allow_pickle,
        }
        if row.kind == "generator":
            return openers.generator(row.name, row.source, pins, progress)
        spec = replace(openers.spec(row.source, name=row.name), **pins)
        open_one = openers.embedder if row.kind == "embedding" else openers.reranker
        return open_one(spec, progress, partial(self._registry_of(row.kind).tell, row.name))

    async def _end(self, row: ModelRow) -> None:
        task = self._coming.get(row.name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._registry_of(row.kind).remove(row.name)
        self._progress.pop(row.name, None)

    def _record(self, row: ModelRow) -> ModelRecord:
        registry = self._registry_of(row.kind)
        state = next((state for state in registry.states() if state.name == row.name), None)
        progress = self._progress.get(row.name)
        status, reason = self._status(row, state, progress)
        return ModelRecord(row.name, row.kind, status, reason, row, state, progress)

    def _status(
        self, row: ModelRow, state: ModelState | None, progress: Progress | None
    ) -> tuple[Status, str]:
        if not row.enabled:
            return "registered", ""
        if row.name in self._registry_of(row.kind).coming:
            fetches = lies_afar(row.source) and not (progress and progress.is_complete)
            waits_for = self._registry_of(row.kind).coming[row.name] if is_remote(row.source) else ""
            return ("downloading" if fetches else "loading"), waits_for
        return (row.standing, row.reason) if state is None else (state.status.state, state.status.reason)

    def _registry_of(self, kind: Kind) -> Registry[Any]:
        models = self._models
        if kind == "generator":
            return models.generators
        return models.embedders if kind == "embedding" else models.rerankers

    def _own(self, name: str) -> ModelRow:
        row = self._rows.get(name)
        if row is None:
            self._refuse_configured(name)
            raise UnknownModel(name, [record.name for record in self.records()])
        return row

    def _refuse_configured(self, name: str) -> None:
        if any(state.name == name for state in self._models.states()):
            raise Conflict(
                f"model {name!r} is named by the settings of this service and is changed there",
                param="name",
                code="model_configured",
            )

    def _refuse_one_more(self) -> None:
        if len(list(self._rows)) >= MOST_MODELS:
            raise Conflict(
                f"there are {MOST_MODELS} models, which is all there may be", code="too_many_models"
            )

    async def _collections_of(self, name: str) -> list[str]:
        await self._catalog.refresh()
        found = []
        for each in self._catalog.names():
            with suppress(CollectionNotFound):  # dropped meanwhile
                if (await self._catalog.get(each)).settings.model == name:
                    found.append(each)
        return found


def _enabled(rows: Mapping[str, ModelRow]) -> set[tuple[str, str]]:
    """The models that are to be there; one that was removed and added again is another one."""
    return {(row.name, row.created_at) for row in rows.values() if row.enabled}


@asynccontextmanager
async def open_model_registry(
    models: Models, catalog: Collections, rows: ModelRows
) -> AsyncIterator[ModelRegistry]:
    """The models of ``rows``, beside those of the settings; the enabled ones come in the background."""
    async with owned_tasks() as tasks:
        registry = ModelRegistry(models, catalog, rows, tasks)
        registry.begin_all()
        rows.tell(registry.follow)
        try:
            yield registry
        finally:
            registry.stop()
