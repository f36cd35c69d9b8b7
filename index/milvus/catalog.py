"""All collections of a catalog, with their passages in a Milvus.

The catalog below says what there is; each of its collections is met as one whose passages Milvus finds. Names
in Milvus begin with a prefix, which tells the collections of one catalog from all others that it has: two
catalogs over one Milvus need two.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from index.catalogs import Collections, Leases
from index.errors import InvalidSettings, StoreError, VectorsUnavailable
from index.milvus.collection import MilvusCollection
from index.milvus.marks import Marks
from index.milvus.server import Milvus, open_milvus
from index.rows import CollectionSettings
from index.store import Store
from index.together import beside

DEFAULT_PREFIX: Final = "embedd_"
_VALID_PREFIX: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LOOK_EVERY_S: Final = 5.0


class MilvusCatalog:
    """Made by ``open_milvus_catalog``; implements ``index.catalogs.Collections``, where the methods are
    described.
    """

    def __init__(self, below: Collections, milvus: Milvus, prefix: str) -> None:
        self._below = below
        self._milvus = milvus
        self._marks = Marks(milvus, prefix)
        self._prefix = prefix
        self._met: dict[str, MilvusCollection] = {}

    @property
    def milvus(self) -> Milvus:
        """The server; it knows whether it can be used."""
        return self._milvus

    def names(self) -> list[str]:
        return self._below.names()

    @property
    def leases(self) -> Leases | None:
        return self._below.leases

    @property
    def aliases(self) -> Mapping[str, str]:
        return self._below.aliases

    async def refresh(self) -> None:
        await self._below.refresh()

    async def resolve(self, name: str) -> str:
        return await self._below.resolve(name)

    async def get(self, name: str) -> MilvusCollection:
        return await self._meet(await self._below.get(name))

    async def create(self, settings: CollectionSettings) -> tuple[MilvusCollection, bool]:
        truth, is_new = await self._below.create(settings)
        return await self._meet(truth), is_new

    async def drop(self, name: str) -> None:
        await self._below.drop(name)
        if (collection := self._met.pop(name, None)) is not None:
            try:
                await collection.mirror.drop()
            except VectorsUnavailable as error:
                structlog.get_logger().warning("milvus_not_dropped", collection=name, reason=str(error))

    async def assign(self, alias: str, name: str) -> bool:
        return await self._below.assign(alias, name)

    async def switch(self, aliases: Sequence[str], old: str, new: str) -> None:
        await self._below.switch(aliases, old, new)

    async def unassign(self, alias: str) -> bool:
        return await self._below.unassign(alias)

    async def _meet(self, truth: Store) -> MilvusCollection:
        """The collection over ``truth``; another one that had its name is let go."""
        name = truth.settings.name
        known = self._met.get(name)
        if known is not None and known.truth is truth:
            return known
        met = self._met[name] = MilvusCollection(truth, self._milvus, self._marks, self._prefix)
        if known is not None:
            await known.close()
        return met

    async def watch(self) -> None:
        """For as long as it runs: know of all collections, and whether Milvus answers."""
        while True:
            with suppress(StoreError):  # of whom it is, it is told there
                await self._milvus.ping()
                for name in self.names():
                    await self.get(name)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def close(self) -> None:
        """Let go of all collections."""
        while self._met:
            await self._met.popitem()[1].close()


@asynccontextmanager
async def open_milvus_catalog(
    below: Collections, url: str, *, prefix: str = DEFAULT_PREFIX
) -> AsyncIterator[MilvusCatalog]:
    """The collections of ``below``, found by the Milvus at ``url``, which need not be there yet.

    Raises:
        InvalidSettings: the URL or the prefix is none.
        StorageFailed: the extra is not installed.
    """
    if not _VALID_PREFIX.fullmatch(prefix):
        raise InvalidSettings(f"names in Milvus cannot begin with {prefix!r}: use letters, digits and '_'")
    async with open_milvus(url) as milvus:
        catalog = MilvusCatalog(below, milvus, prefix)
        try:
            async with beside(catalog.watch(), name="milvus-watch"):
                yield catalog
        finally:
            await catalog.close()
