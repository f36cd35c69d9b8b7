"""All collections of a data folder: the folder is the registry.

``collections/<name>/`` is one collection; its name is nowhere else. One is created under a temporary name
and renamed, dropped by renaming it to another, so a crash leaves a whole collection or none; what lies
around is swept at the next start. Aliases are names beside these. ``embedd.lock`` keeps other processes out
for as long as the catalog is open.
"""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from index import files, truth
from index.aliases import Aliases
from index.collection import UPLOADS, Collection, open_collection
from index.collection_settings import check_name, check_settings, differences, usual_quantization
from index.errors import (
    CollectionExists,
    CollectionNotFound,
    NameTaken,
    StorageFailed,
)
from index.growth import GraphTuning
from index.restore import settle
from index.rows import CollectionSettings
from index.together import beside, to_its_end
from index.upkeep import UpkeepTuning

_FIT_EVERY_S: Final = 5.0


class Catalog:
    """Made by ``open_catalog``."""

    def __init__(self, folder: Path, aliases: Aliases, tuning: GraphTuning, upkeep: UpkeepTuning) -> None:
        self._folder = folder
        self._aliases = aliases
        self._tuning = tuning
        self._upkeep = upkeep
        self._collections: dict[str, Collection] = {}
        # Creating and dropping touch the same names on disk: one at a time.
        self._changing = asyncio.Lock()

    def names(self) -> list[str]:
        """The names of all collections, sorted."""
        return sorted(self._collections)

    @property
    def leases(self) -> None:
        """The folder is this process's alone, and so are its jobs."""

    @property
    def aliases(self) -> Mapping[str, str]:
        """The collection that every alias stands for."""
        return self._aliases.targets

    async def refresh(self) -> None:
        """Nobody else changes the folder."""

    async def resolve(self, name: str) -> str:
        """The collection that ``name`` stands for; itself, if it is no alias."""
        return self._aliases.resolve(name)

    async def get(self, name: str) -> Collection:
        """The collection of that name or alias.

        Raises:
            CollectionNotFound: there is none.
        """
        try:
            return self._collections[self._aliases.resolve(name)]
        except KeyError:
            raise CollectionNotFound(name) from None

    async def create(self, settings: CollectionSettings) -> tuple[Collection, bool]:
        """The collection, and whether it is new; one that has exactly these settings is as good.

        Without a ``quantization`` one that is there keeps its own, and a new one has vectors of eight bits in
        its graph where they serve as well: under cosine, with 128 dimensions or more.

        Raises:
            InvalidName, InvalidSettings: there can be no such collection.
            NameTaken: the name is an alias.
            CollectionExists: it has other settings.
            StorageFailed, StorageFull: it could not be made.
        """
        check_settings(settings)
        async with self._changing:
            self._refuse_alias(settings.name, "create a collection of another name")
            existing = self._collections.get(settings.name)
            if settings.quantization is None:
                usual = existing.settings.quantization if existing else usual_quantization(settings)
                settings = replace(settings, quantization=usual)
            if existing is not None:
                if different := differences(existing.settings, settings):
                    raise CollectionExists(settings.name, different)
                return existing, False
            await to_its_end(self._create(settings))
            return self._collections[settings.name], True

    async def _create(self, settings: CollectionSettings) -> None:
        await asyncio.to_thread(_make, self._folder, settings)
        await self._open(settings.name)
        await self._collections[settings.name].memory.load()

    async def drop(self, name: str) -> None:
        """Remove a collection, everything in it and its aliases; whoever still uses it hears
        CollectionNotFound.

        Raises:
            CollectionNotFound: there is none.
            NameTaken: the name is an alias; nobody loses a collection by what may stand for another soon.
        """
        async with self._changing:
            self._refuse_alias(name, "delete the collection by its own name, or only the alias")
            collection = await self.get(name)
            del self._collections[name]
            await to_its_end(self._drop(collection, name))

    async def _drop(self, collection: Collection, name: str) -> None:
        await collection.close(store_graph=False)
        await asyncio.to_thread(_remove, self._folder, name)
        await asyncio.to_thread(self._aliases.change, dict.fromkeys(self._aliases.of(name)))

    async def assign(self, alias: str, name: str) -> bool:
        """Let ``alias`` stand for the collection ``name`` from now on; gives whether it is new.

        Raises:
            InvalidName: ``alias`` can be no name.
            NameTaken: a collection has it, or ``name`` is an alias itself.
            CollectionNotFound: there is no collection ``name``.
            StorageFailed, StorageFull: nothing was changed.
        """
        check_name(alias)
        async with self._changing:
            if alias in self._collections:
                raise NameTaken(alias, "is a collection: choose another name for the alias")
            self._refuse_alias(name, "name the collection itself")
            await self.get(name)
            is_new = alias not in self.aliases
            await to_its_end(asyncio.to_thread(self._aliases.change, {alias: name}))
            return is_new

    async def switch(self, aliases: Sequence[str], old: str, new: str) -> None:
        """``Aliases.move``; raises CollectionNotFound if there is no collection ``new``."""
        async with self._changing:
            await self.get(new)
            await to_its_end(asyncio.to_thread(self._aliases.move, aliases, old, new))

    async def unassign(self, alias: str) -> bool:
        """Take an alias away; gives whether it was there."""
        async with self._changing:
            is_there = alias in self.aliases
            await to_its_end(asyncio.to_thread(self._aliases.change, {alias: None}))
            return is_there

    def _refuse_alias(self, name: str, instead: str) -> None:
        if (target := self.aliases.get(name)) is not None:
            raise NameTaken(name, f"is an alias of {target!r}: {instead}")

    async def open_all(self, names: Sequence[str]) -> None:
        """Open the collections that are on disk; called once. Aliases of others, dropped ones, go."""
        for name in names:
            await self._open(name)
        lost = [alias for alias, target in self.aliases.items() if target not in self._collections]
        await asyncio.to_thread(self._aliases.change, dict.fromkeys(lost))

    async def _open(self, name: str) -> None:
        self._collections[name] = await open_collection(self._folder / name, self._tuning, self._upkeep)

    async def keep_within(self, memory_bytes: int) -> None:
        """For as long as it runs: whenever all that is in memory takes more, drop the collections that were
        not used for longest. The last one that was used stays, whatever it takes.
        """
        while True:
            await asyncio.sleep(_FIT_EVERY_S)
            try:
                await to_its_end(self.fit(memory_bytes))
            except Exception:  # noqa: BLE001 - what could not be dropped stays
                structlog.get_logger().exception("memory_not_freed")

    async def fit(self, memory_bytes: int) -> None:
        """Look once."""
        loaded = [each for each in self._collections.values() if each.memory.size_bytes]
        excess = sum(each.memory.size_bytes for each in loaded) - memory_bytes
        for collection in sorted(loaded, key=lambda each: each.memory.last_used)[:-1]:
            size = collection.memory.size_bytes
            if excess > 0 and await collection.memory.drop():
                excess -= size

    async def close(self) -> None:
        """Close every collection."""
        while self._collections:
            name, collection = self._collections.popitem()
            try:
                await collection.close()
            except Exception:  # noqa: BLE001 - the others must be closed all the same
                structlog.get_logger().exception("collection_not_closed", collection=name)


@asynccontextmanager
async def open_catalog(
    folder: Path,
    tuning: GraphTuning | None = None,
    upkeep: UpkeepTuning | None = None,
    *,
    memory_bytes: int | None = None,
) -> AsyncIterator[Catalog]:
    """The catalog of a data folder, which is made if it is not there; it owns the folder until it is left.
    Collections that are not in use leave memory when all of them take more than ``memory_bytes``.

    Raises:
        DataFolderInUse: somebody else has it.
        DataTooNew: a newer version of this program wrote a collection in it.
        StorageFailed, StorageFull: the folder or a collection cannot be opened.
    """
    lock = await asyncio.to_thread(files.lock, folder)
    try:
        names = await asyncio.to_thread(_sweep, folder)
        aliases = await asyncio.to_thread(Aliases, folder)
        catalog = Catalog(
            folder / files.COLLECTIONS, aliases, tuning or GraphTuning(), upkeep or UpkeepTuning()
        )
        try:
            await catalog.open_all(names)
            kept = [catalog.keep_within(memory_bytes)] if memory_bytes else []
            async with beside(*kept, name="catalog-memory"):
                yield catalog
        finally:
            await catalog.close()
    finally:
        os.close(lock)


def _make(collections: Path, settings: CollectionSettings) -> None:
    draft = collections / f".creating-{uuid.uuid4().hex}"
    try:
        draft.mkdir()
        (draft / UPLOADS).mkdir()
        truth.create(draft, settings)
        files.sync(draft)
        draft.rename(collections / settings.name)
        files.sync(collections)
    except OSError as error:
        raise StorageFailed(f"collection {settings.name!r} could not be made: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove(collections: Path, name: str) -> None:
    trash = collections / f".dropped-{uuid.uuid4().hex}"
    try:
        (collections / name).rename(trash)
        files.sync(collections)
        shutil.rmtree(trash)
    except OSError as error:
        raise StorageFailed(f"collection {name!r} could not be removed: {error}") from error


def _sweep(data: Path) -> list[str]:
    """End what a crash left half made or half removed; the names of the collections that there are."""
    settle(data)
    for leftover in files.leftovers(data):
        files.remove(leftover)
    return files.collection_names(data)
