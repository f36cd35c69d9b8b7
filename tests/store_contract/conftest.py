"""The stores that are held to the contract, and fresh collections of them.

The tests here know ``index.store.Store`` alone. Another store is held to it by one more fixture like
``embedded`` among the parameters of ``stores``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from postgres_server import PostgresServer
from store_samples import document_of, point_of, settings_of

from index.catalog import open_catalog
from index.catalogs import Collections
from index.growth import NO_GRAPHS, GraphTuning
from index.milvus.catalog import open_milvus_catalog
from index.milvus.collection import MilvusCollection
from index.postgres.catalog import open_postgres_catalog
from index.postgres.database import Database
from index.postgres.opening import open_database
from index.rows import CollectionSettings
from index.store import Store

Opener = Callable[[], AbstractAsyncContextManager[Collections]]
Settled = Callable[[Store], Awaitable[Store]]


class Stores(Protocol):
    """Where collections of one kind are kept."""

    async def create(self, settings: CollectionSettings) -> Store: ...

    async def drop(self, name: str) -> None: ...

    async def restart(self, name: str) -> Store:
        """The collection, after whatever keeps it was stopped and started again."""
        ...


class _Stores:
    """Those of the catalog that ``opener`` opens, again after a restart; met when they are ``settled``."""

    def __init__(self, opener: Opener, settled: Settled, stack: AsyncExitStack) -> None:
        self._opener = opener
        self._settled = settled
        self._stack = stack

    async def open(self) -> None:
        self._catalog = await self._stack.enter_async_context(self._opener())

    async def create(self, settings: CollectionSettings) -> Store:
        return await self._settled((await self._catalog.create(settings))[0])

    async def drop(self, name: str) -> None:
        await self._catalog.drop(name)

    async def drop_all(self) -> None:
        for name in self._catalog.names():
            await self._catalog.drop(name)

    async def restart(self, name: str) -> Store:
        await self._stack.aclose()
        await self.open()
        return await self._settled(await self._catalog.get(name))


async def _at_once(store: Store) -> Store:
    return store


@asynccontextmanager
async def _opened(opener: Opener, settled: Settled = _at_once) -> AsyncIterator[_Stores]:
    async with AsyncExitStack() as stack:
        stores = _Stores(opener, settled, stack)
        await stores.open()
        yield stores


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Stores]:
    """In a data folder, with graphs from 60 points on, so that the contract meets them too."""
    tuning = GraphTuning(threshold=60, m=8, ef_construction=60, snapshot_rows=50)
    async with _opened(lambda: open_catalog(tmp_path, tuning)) as stores:
        yield stores


@pytest.fixture(scope="session")
async def shared_database(postgres: PostgresServer) -> AsyncIterator[Database]:
    """One for all tests here, which is emptied behind each: to make one takes longer than most of them."""
    async with open_database(f"{postgres.url}?schema=store_contract") as database:
        yield database


@pytest.fixture
async def in_milvus(milvus_url: str, tmp_path: Path) -> AsyncIterator[Stores]:
    """In a data folder, and found by a Milvus."""

    @asynccontextmanager
    async def opener() -> AsyncIterator[Collections]:
        async with (
            open_catalog(tmp_path, NO_GRAPHS) as below,
            open_milvus_catalog(below, milvus_url, prefix="contract_") as catalog,
        ):
            yield catalog

    async def settled(store: Store) -> Store:
        assert isinstance(store, MilvusCollection)
        await store.mirror.caught_up()
        return store

    async with _opened(opener, settled) as stores:
        yield stores


@pytest.fixture
async def in_postgres(shared_database: Database, tmp_path: Path) -> AsyncIterator[Stores]:
    """In a PostgreSQL."""
    async with _opened(lambda: open_postgres_catalog(shared_database, tmp_path)) as stores:
        try:
            yield stores
        finally:
            await stores.drop_all()


# What nothing but the truth below a Milvus has to do with, which is one of the others.
_OF_THE_TRUTH = {"test_bad_documents", "test_digests", "test_jobs", "test_uploads"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stores" in metafunc.fixturenames:
        kinds = ["embedded", "in_postgres"]
        if metafunc.module.__name__.rpartition(".")[2] not in _OF_THE_TRUTH:
            kinds.append("in_milvus")
        metafunc.parametrize("stores", kinds, indirect=True)


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Stores:
    opened: Stores = request.getfixturevalue(request.param)
    return opened


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
