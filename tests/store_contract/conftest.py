"""The stores that are held to the contract, and fresh collections of them.

The tests here know ``index.store.Store`` alone. Another store is held to it by one more function like
``embedded`` among the parameters of ``stores``.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from store_samples import document_of, point_of, settings_of

from index.catalog import Catalog, open_catalog
from index.growth import GraphTuning
from index.rows import CollectionSettings
from index.store import Store


class Stores(Protocol):
    """Where collections of one kind are kept."""

    async def create(self, settings: CollectionSettings) -> Store: ...

    async def drop(self, name: str) -> None: ...

    async def restart(self, name: str) -> Store:
        """The collection, after whatever keeps it was stopped and started again."""
        ...


class _Embedded:
    def __init__(self, folder: Path, catalog: Catalog, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._catalog = catalog
        self._stack = stack

    async def create(self, settings: CollectionSettings) -> Store:
        return (await self._catalog.create(settings))[0]

    async def drop(self, name: str) -> None:
        await self._catalog.drop(name)

    async def restart(self, name: str) -> Store:
        await self._stack.aclose()
        self._catalog = await self._stack.enter_async_context(_catalog(self._folder))
        return await self._catalog.get(name)


def _catalog(folder: Path) -> AbstractAsyncContextManager[Catalog]:
    """Graphs from 60 points on, so that the contract meets them too."""
    return open_catalog(folder, GraphTuning(threshold=60, m=8, ef_construction=60, snapshot_rows=50))


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Stores]:
    async with AsyncExitStack() as stack:
        catalog = await stack.enter_async_context(_catalog(folder))
        yield _Embedded(folder, catalog, stack)


@pytest.fixture(params=[embedded], ids=lambda opener: opener.__name__)
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    async with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture
async def store(stores: Stores) -> Store:
    """An empty collection of vectors of 8 numbers under cosine."""
    return await stores.create(settings_of())


@pytest.fixture
async def filled(store: Store) -> Store:
    """With the document "kept", the point "other#0" and the unfinished job "job"."""
    await store.upsert([document_of("kept", 1, 2, metadata={"n": 1}), point_of("other#0", 3)])
    await store.add_job("job", [b"x"])
    return store
