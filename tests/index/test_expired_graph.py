"""The stored graph of a collection in which something expired and was not deleted before it was closed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from index import snapshot
from index.catalog import open_catalog
from index.codec import timestamp
from index.collection import Collection
from index.expiry import Expiry
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, DocumentPatch, Query

Make = Callable[..., Document]

ROWS = 100


@pytest.fixture(autouse=True)
def _nothing_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def leave_it(_: Expiry) -> None: ...

    monkeypatch.setattr(Expiry, "_sweep", leave_it)


async def expired(collection: Collection, ids: list[str]) -> None:
    """Return when these have expired and every search knows."""
    moment = timestamp(datetime.now(UTC) + timedelta(seconds=0.2))
    for id_ in ids:
        await collection.patch(id_, DocumentPatch(expires_at=moment))
    while True:
        if timestamp() >= moment:
            break
        await asyncio.sleep(0.005)
    await collection.statistics()


async def rows_in_file(collection: Collection) -> int:
    return int((await collection._readers.rows("SELECT count(*) FROM passages"))[0][0])


async def test_a_start_keeps_the_graph_that_was_built_without_what_had_expired(
    tmp_path: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable[[int], np.ndarray]
) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        await collection.upsert([make_document(f"old{n}", n) for n in range(10)])
        await expired(collection, [f"old{n}" for n in range(10)])
        await collection.upsert([make_document(f"d{n}", 100 + n) for n in range(ROWS)])
        await collection.graph_settled()
    folder = tmp_path / "collections" / "notes"
    stored = (folder / snapshot.MANIFEST).read_bytes()
    async with open_catalog(tmp_path, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        assert await rows_in_file(collection) == ROWS + 10
        found = await collection.search(Query(ROWS + 10, vector=make_vector(1)))
        assert {hit.document_id for hit in found.hits} == {f"d{n}" for n in range(ROWS)}
        assert (await collection.statistics()).graph_points == ROWS
        assert (folder / snapshot.MANIFEST).read_bytes() == stored
    assert (folder / snapshot.MANIFEST).read_bytes() == stored


async def test_a_start_keeps_the_graph_that_has_what_expired_since(
    tmp_path: Path, tuning: GraphTuning, make_document: Make
) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        await collection.upsert([make_document(f"d{n}", n) for n in range(ROWS)])
        await collection.graph_settled()
        await expired(collection, ["d3", "d4"])
        await collection.graph_settled()
    manifest = tmp_path / "collections" / "notes" / snapshot.MANIFEST
    stored = manifest.read_bytes()
    async with open_catalog(tmp_path, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        statistics = await collection.statistics()
        assert (statistics.graph_points, statistics.graph_deleted) == (ROWS - 2, 2)
        assert manifest.read_bytes() == stored


async def test_what_expired_while_a_collection_was_not_in_memory_does_not_come_back_with_it(
    tmp_path: Path, tuning: GraphTuning, make_document: Make
) -> None:
    async with open_catalog(tmp_path, tuning, memory_bytes=1) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        await collection.upsert([make_document(f"d{n}", n) for n in range(ROWS)])
        await collection.memory.resident.upkeep.close()
        collection.memory.resident.upkeep._erase_at = None
        assert await collection.memory.drop()
        await expired(collection, ["d3", "d4"])
        await collection.graph_settled()
        assert (await collection.statistics()).points == ROWS - 2
