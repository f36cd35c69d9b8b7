"""What only the embedded store has to do for a history: sweeping, forgetting, old files, backups."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from index import history, migrations
from index.backup import back_up
from index.catalog import open_catalog
from index.codec import timestamp
from index.collection import Collection
from index.errors import HistoryLost
from index.expiry import delete_expired
from index.restore import restore
from index.rows import CollectionSettings, Document
from index.writer import Change

Make = Callable[..., Document]


@pytest.fixture
async def deleted(collection: Collection, make_document: Make) -> Collection:
    """With the document "here" at the moment 1, and "gone" written at 2 and deleted at 3."""
    await collection.upsert([make_document("here", 1), make_document("gone", 2)])
    await collection.delete(["gone"])
    return collection


async def _make_old(collection: Collection, age: timedelta) -> None:
    moment = timestamp(datetime.now(UTC) - age)

    def write(connection: sqlite3.Connection) -> Change[None]:
        connection.execute("UPDATE deletions SET deleted_at = ?", (moment,))
        return Change(None)

    await collection._write(write)


async def test_a_deletion_is_forgotten_after_a_week_and_not_before(deleted: Collection) -> None:
    await _make_old(deleted, timedelta(days=6, hours=23))
    assert await deleted._write(history.forget) == 0
    assert (await deleted.changes(1, 10)).deleted == ("gone",)
    await _make_old(deleted, timedelta(days=7, seconds=1))
    assert await deleted._write(history.forget) == 1
    for moment in (0, 1, 2):
        with pytest.raises(HistoryLost):
            await deleted.changes(moment, 10)


async def test_whoever_heard_of_all_that_was_forgotten_goes_on(
    deleted: Collection, make_document: Make
) -> None:
    moment = (await deleted.changes(1, 10)).until
    await _make_old(deleted, timedelta(days=8))
    await deleted._write(history.forget)
    await deleted.upsert([make_document("new", 3)])
    page = await deleted.changes(moment, 10)
    assert [copy.document.id for copy in page.copies] == ["new"]


async def test_whoever_begins_is_told_the_last_moment_whatever_was_forgotten(deleted: Collection) -> None:
    await _make_old(deleted, timedelta(days=8))
    await deleted._write(history.forget)
    assert (await deleted.changes(0, 0)).until == 3


async def test_many_old_deletions_are_forgotten_a_part_at_a_time(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FORGOTTEN_AT_ONCE", 2)
    await collection.upsert([make_document(f"d{n}", n) for n in range(5)])
    await collection.delete([f"d{n}" for n in range(5)])
    await _make_old(collection, timedelta(days=8))
    assert [await collection._write(history.forget) for _ in range(4)] == [2, 2, 1, 0]


async def test_the_sweep_of_what_has_expired_is_a_deletion(
    collection: Collection, make_document: Make
) -> None:
    async with collection.memory.in_use():
        await collection.upsert([make_document("over", 1)])
        moment = (await collection.changes(0, 10)).until

        def end(connection: sqlite3.Connection) -> Change[int]:
            connection.execute("UPDATE documents SET expires_at = '2001-01-01T00:00:00.000Z'")
            return delete_expired(connection, 10)

        assert await collection._write(end) == 1
    assert (await collection.changes(moment, 10)).deleted == ("over",)


async def test_an_expired_document_that_gives_its_place_to_a_point_is_a_deletion(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document("over", 1)])
    moment = (await collection.changes(0, 10)).until

    def end(connection: sqlite3.Connection) -> Change[None]:
        connection.execute("UPDATE documents SET expires_at = '2001-01-01T00:00:00.000Z'")
        return Change(None)

    await collection._write(end)
    await collection.upsert([make_document("over#0", 2, is_point=True)])
    page = await collection.changes(moment, 10)
    assert (page.deleted, [copy.document.id for copy in page.copies]) == (("over",), ["over#0"])


async def test_what_an_older_version_wrote_is_told_in_the_order_it_was_written(
    tmp_path: Path, make_document: Make
) -> None:
    async with open_catalog(tmp_path) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        await collection.upsert([make_document(id_, 1) for id_ in "cab"])
        await collection.delete(["a"])
    _take_history_away(tmp_path / "collections" / "notes" / "truth.db")
    async with open_catalog(tmp_path) as catalog:
        collection = await catalog.get("notes")
        page = await collection.changes(0, 10)
        assert ([copy.document.id for copy in page.copies], page.deleted) == (["c", "b"], ())
        await collection.upsert([make_document("d", 1)])
        assert [copy.document.id for copy in (await collection.changes(page.until, 10)).copies] == ["d"]


def _take_history_away(path: Path) -> None:
    before = migrations.MIGRATIONS.index(migrations._keep_history)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE history; DROP TABLE deletions; DROP INDEX documents_by_change;"
            f"ALTER TABLE documents DROP COLUMN change; PRAGMA user_version = {before};"
        )


async def test_a_collection_out_of_a_backup_has_a_history_of_its_own(
    tmp_path: Path, make_document: Make
) -> None:
    data, backup = tmp_path / "data", tmp_path / "backup"
    async with open_catalog(data) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        await collection.upsert([make_document("a", 1)])
        before = await collection.changes(0, 10)
    back_up(data, backup)
    restore(backup, data, replace=True)
    async with open_catalog(data) as catalog:
        after = await (await catalog.get("notes")).changes(0, 10)
    assert after.until == before.until
    assert after.history != before.history
