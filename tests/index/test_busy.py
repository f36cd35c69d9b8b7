"""Another process holds SQLite's lock: writing says so after a while, reading goes on, nothing is lost."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from index import database
from index.catalog import open_catalog
from index.errors import StorageFailed
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, Query

Make = Callable[..., Document]


async def test_a_lock_that_is_held_too_long_is_a_typed_error(
    tmp_path: Path, tuning: GraphTuning, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    async with open_catalog(tmp_path, tuning) as catalog:
        notes, _ = await catalog.create(CollectionSettings("notes", 8))
        await notes.upsert([make_document("before", 1)])
        path = tmp_path / "collections" / "notes" / database.FILE_NAME
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageFailed, match=r"locked \[SQLITE_BUSY\]"):
                await notes.upsert([make_document("meanwhile", 2)])
            found = await notes.search(Query(5, text="word1", mode="lexical"))
            assert [hit.document_id for hit in found.hits] == ["before"]
        await notes.upsert([make_document("after", 3)])
        assert {each.id for each in await notes.documents(10)} == {"before", "after"}
        assert await notes.count() == 2
