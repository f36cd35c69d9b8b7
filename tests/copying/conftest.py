"""Two catalogs, one of which is copied into the other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from copying_places import MakeCopy, Place, opened_folder
from store_samples import document_of, point_of, settings_of

from index.catalog import Catalog
from index.copying.catalog import CatalogCopy, Wanted
from index.copying.marks import Marks
from index.copying.source import Sources
from index.store import Store


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with opened_folder(tmp_path / "source") as (catalog, _):
        yield catalog


@pytest.fixture
async def notes(source: Catalog) -> Store:
    """Of the source, with the documents "d000" to "d009" of two passages each, and the point "p"."""
    collection, _ = await source.create(settings_of())
    documents = [document_of(f"d{n:03}", n, n + 1, metadata={"n": n}) for n in range(10)]
    await collection.upsert([*documents, point_of("p", 3, text="a point")])
    return collection


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Place]:
    async with opened_folder(tmp_path / "target") as place:
        yield place


@pytest.fixture
def make_copy(source: Catalog, target: Place) -> MakeCopy:
    """Of the source in the target, as whoever starts it again makes it."""

    def make(
        wanted: Wanted | None = None, *, sources: Sources = source, marks: Marks = target[1]
    ) -> CatalogCopy:
        return CatalogCopy(sources, target[0], marks, wanted or Wanted(), lambda _: None)

    return make
