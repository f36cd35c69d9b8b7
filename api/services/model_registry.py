"""Models that come and go while the service runs: the use cases behind HTTP, gRPC and the command line.

A model that is added is a row first, then its files are fetched, then it is loaded and warmed, and only then
it is there for requests. Models that settings name are listed beside them, and are nobody's to change here.

Invariants: what is answered is on disk; each model is brought by a task of its own, so that a bad one holds
up no other; what was enabled is brought again at the next start, from where it was cut short. Weights that
are exchanged answer until the others are warm, and after that to the end of their last request.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from dataclasses import replace
from typing import Final, TypeAlias

import structlog

from api.errors import Conflict
from api.services.bringing import Bringing
from api.services.model_checks import check_model, differences
from api.services.model_records import ModelRecord, Weights
from api.services.model_rows import ModelRow, ModelRows, Outcome
from api.services.models import Models
from embedd.errors import UnknownModel
from embedd.ownership import owned_tasks, to_its_end
from index.catalogs import Collections
from index.errors import CollectionNotFound

log = structlog.get_logger()

MOST_MODELS: Final = 200

_Ended: TypeAlias = "asyncio.Future[None] | None"
"""Done when a model that was let go has ended, behind its last request; None if there was none."""


class ModelRegistry:
    """Made by `open_model_registry`."""

    def __init__(
        self, models: Models, catalog: Collections, rows: ModelRows, tasks: asyncio.TaskGroup
    ) -> None:
        self._models = models
        self._catalog = catalog
        self._rows = rows
        self._tasks = tasks
        self._bringing = Bringing(models, tasks, self._settle)
        self._changing = asyncio.Lock()

    def records(self) -> Iterator[ModelRecord]:
        """Every model: those of the settings, then the others by name."""
        for state in self._models.states():
            if self._rows.get(state.name) is None:
                yield ModelRecord(
                    state.name, state.kind, state.status.state, state.status.reason, state=state
                )
        yield from (self._bringing.record(row) for row in self._rows)

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
        return await to_its_end(self._add(wanted))

    async def _add(self, wanted: ModelRow) -> tuple[ModelRecord, bool]:
        async with self._changing:
            row = self._rows.get(wanted.name)
            if row is None:
                self._refuse_configured(wanted.name)
                self._refuse_one_more()
                row = await self._rows.add(wanted)
                self._bringing.begin(row)
                return self._bringing.record(row), True
            if differing := differences(row, wanted):
                raise Conflict(
                    f"model {row.name!r} is there with another {' and '.join(differing)}: remove it "
                    "first, or choose another name",
                    param=differing[0],
                    code="model_exists",
                )
            if self._bringing.record(row).status == "failed":
                self._bringing.begin(row)
            return self._bringing.record(row), False

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
        row, ended = await to_its_end(self._change(name, enabled, description))
        if ended is not None:
            await asyncio.shield(ended)
        return self._bringing.record(row)

    async def _change(
        self, name: str, enabled: bool | None, description: str | None
    ) -> tuple[ModelRow, _Ended]:
        async with self._changing:
            before, ended = self._own(name), None
            row = await self._rows.change(before, enabled=enabled, description=description)
            if before.enabled and not row.enabled:
                row = await self._rows.settle(row, Outcome("registered"))
                ended = await self._bringing.let_go(name)
            elif row.enabled and not before.enabled:
                self._bringing.begin(row)
            return row, ended

    async def exchange(self, name: str, wanted: Weights, *, force: bool = False) -> ModelRecord:
        """Have the model answer with other weights once they are loaded; until then those that are there do,
        and they stay if the others cannot be loaded.

        Raises:
            UnknownModel: there is none.
            InvalidRequest: there can be no such weights.
            Conflict: the settings of the service name it, or collections are made with it, whose vectors
                others cannot be compared with, and there is no ``force``.
            StorageFailed, StorageFull: nothing has changed.
        """
        await self._rows.refresh()
        return await to_its_end(self._exchange(name, wanted, force))

    async def _exchange(self, name: str, wanted: Weights, force: bool) -> ModelRecord:
        async with self._changing:
            row = wanted.of(self._own(name))
            check_model(row, self._models.openers)
            if not force:
                await self._refuse_used(name)
            row = await self._rows.exchange(row)
            await self._bringing.stop(name)
            self._bringing.begin(row, undo=True)
            return self._bringing.record(row)

    async def remove(self, name: str, *, force: bool = False) -> bool:
        """Forget a model that was added, behind its last request; gives whether it was there. Its files stay.

        Raises:
            Conflict: the settings of the service name it, or collections are made with it and there is no
                ``force``.
            StorageFailed, StorageFull: it is still there.
        """
        await self._rows.refresh()
        was_there, ended = await to_its_end(self._remove(name, force))
        if ended is not None:
            await asyncio.shield(ended)
        return was_there

    async def _remove(self, name: str, force: bool) -> tuple[bool, _Ended]:
        async with self._changing:
            if self._rows.get(name) is None:
                self._refuse_configured(name)
                return False, None
            if not force:
                await self._refuse_used(name)
            await self._rows.remove(name)
            return True, await self._bringing.let_go(name)

    def begin_all(self) -> None:
        """Bring every enabled model; called once."""
        for row in self._rows:
            self._bringing.begin(row)

    def follow(self) -> None:
        """Have what others have changed, beside all else."""
        self._tasks.create_task(self._follow(), context=Context())

    async def _follow(self) -> None:
        async with self._changing:
            await self._bringing.follow({row.name: row for row in self._rows})

    def stop(self) -> None:
        """Leave what is being brought as it is, for the next start."""
        self._bringing.stop_all()

    async def _settle(
        self, row: ModelRow, outcome: Outcome, instead: ModelRow | None = None
    ) -> ModelRow | None:
        """Keep what has become of it, or of the one that stays ``instead``; it may have been described,
        removed or exchanged meanwhile.
        """
        async with self._changing:
            current = self._rows.get(row.name)
            if current is None or not current.enabled or current.created_at != row.created_at:
                return None
            with suppress(Conflict):  # at another service, of which this one will hear
                if instead is None:
                    return await self._rows.settle(current, outcome)
                stays = replace(instead, created_at=current.created_at, description=current.description)
                return await self._rows.exchange(
                    replace(stays, standing=outcome.standing, reason=outcome.reason)
                )
            return None

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

    async def _refuse_used(self, name: str) -> None:
        if using := await self._collections_of(name):
            raise Conflict(
                f"model {name!r} made the collections {', '.join(using)}: delete or embed them again first, "
                "or insist (force)",
                param="force",
                code="model_in_use",
            )

    async def _collections_of(self, name: str) -> list[str]:
        await self._catalog.refresh()
        found = []
        for each in self._catalog.names():
            with suppress(CollectionNotFound):  # dropped meanwhile
                if (await self._catalog.get(each)).settings.model == name:
                    found.append(each)
        return found


@asynccontextmanager
async def open_model_registry(
    models: Models, catalog: Collections, rows: ModelRows
) -> AsyncIterator[ModelRegistry]:
    """The models of ``rows``, beside those of the settings; the enabled ones come in the background."""
    async with owned_tasks() as tasks:
        registry = ModelRegistry(models, catalog, rows, tasks)
        registry.begin_all()
        rows.on_change(registry.follow)
        try:
            yield registry
        finally:
            registry.stop()
