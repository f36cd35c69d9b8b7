"""Collections over an embedded truth, found by the Milvus Lite that all tests share or by one that they may
kill. What is said here of Milvus is said of that: there is no other to be had.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from milvus_server import MilvusServer, milvus_server
from store_samples import settings_of

from index.catalog import open_catalog
from index.growth import NO_GRAPHS
from index.milvus.catalog import MilvusCatalog, open_milvus_catalog
from index.milvus.collection import MilvusCollection

Open = Callable[[str], AbstractAsyncContextManager[MilvusCatalog]]


@pytest.fixture
def prefix() -> str:
    """Of the names that one test makes."""
    return f"t{uuid.uuid4().hex}_"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Where the truth is."""
    return tmp_path / "data"


@pytest.fixture
def open_over(data: Path, prefix: str) -> Open:
    """Opens the catalog over the truth, found by the Milvus at a URL."""

    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[MilvusCatalog]:
        async with (
            open_catalog(data, NO_GRAPHS) as below,
            open_milvus_catalog(below, url, prefix=prefix) as catalog,
        ):
            yield catalog

    return opened


@pytest.fixture
async def catalog(open_over: Open, milvus_url: str) -> AsyncIterator[MilvusCatalog]:
    async with open_over(milvus_url) as opened:
        yield opened


@pytest.fixture
async def collection(catalog: MilvusCatalog) -> MilvusCollection:
    """An empty one of vectors of 8 numbers under cosine, that is searched by Milvus."""
    made, _ = await catalog.create(settings_of())
    await made.mirror.caught_up()
    return made


@pytest.fixture(scope="session")
def mortal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    with milvus_server(tmp_path_factory.mktemp("mortal")) as server:
        yield server


@pytest.fixture
def mortal(mortal_server: MilvusServer) -> Iterator[MilvusServer]:
    """A Milvus that a test may kill; it runs when the test begins."""
    yield mortal_server
    mortal_server.start()
