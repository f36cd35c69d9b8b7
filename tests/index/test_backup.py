"""Backups are taken while others write, and come back as they were."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from backups import DIM, content, documents_in, value_in

from index import files
from index.backup import MANIFEST, back_up
from index.catalog import Catalog, open_catalog
from index.check import check_folder
from index.collection import Collection
from index.errors import (
    CollectionNotFound,
    StorageFailed,
    StorageFull,
    WouldReplace,
)
from index.restore import restore
from index.rows import CollectionSettings, Document

Make = Callable[..., Document]


def test_a_backup_has_everything_but_the_graphs_and_is_whole(data: Path, backup: Path) -> None:
    assert set(content(backup)) == {
        "manifest.json",
        "aliases.json",
        "calibration/abc.json",
        "conversations.db",
        "keys.db",
        "models.db",
        "collections/notes/truth.db",
        "collections/notes/uploads/job-0",
        "collections/other/truth.db",
    }
    assert check_folder(backup).problems == ()


def test_a_database_is_copied_with_what_its_log_has(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data / "keys.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("UPDATE kept SET value = 'committed'")
        connection.execute("UPDATE kept SET value = 'not yet'")
        back_up(data, tmp_path / "backup")
    assert value_in(tmp_path / "backup/keys.db") == "committed"


def test_checking_a_backup_leaves_it_as_it_is(backup: Path, tmp_path: Path) -> None:
    check_folder(backup)
    assert restore(backup, tmp_path / "new") == ["notes", "other"]


async def test_a_restored_folder_is_as_it_was(backup: Path, data: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert await asyncio.to_thread(restore, backup, new) == ["notes", "other"]
    expected, found = content(backup), content(new)
    assert set(found) == set(expected) - {MANIFEST}
    for name in found:
        if name.endswith(".db"):
            assert dumped(new / name) == dumped(backup / name)
        else:
            assert found[name] == expected[name]
    async with open_catalog(data) as before, open_catalog(new) as after:
        for name in ("notes", "other"):
            assert (await after.get(name)).settings == (await before.get(name)).settings
            assert await everything(await after.get(name)) == await everything(await before.get(name))


def dumped(database: Path) -> list[str]:
    """All that is in it, but for the secret, which a restore makes anew."""
    with closing(sqlite3.connect(database)) as connection:
        return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "identity"')]


async def everything(collection: Collection) -> list[object]:
    found, _ = await collection.scroll(1000, with_vectors=True)
    return [(p.id, p.text, p.title, p.metadata, p.version, p.vector.tobytes()) for p in found]


async def test_one_collection_is_copied_and_brought_back_alone(data: Path, tmp_path: Path) -> None:
    manifest = await asyncio.to_thread(back_up, data, tmp_path / "one", "notes")
    assert manifest.collections == ["notes"]
    async with open_catalog(data) as catalog:
        await catalog.drop("notes")
    assert await asyncio.to_thread(restore, tmp_path / "one", data) == ["notes"]
    assert len(await documents_in(data, "notes")) == 20


def test_a_collection_that_is_not_there_is_said(data: Path, backup: Path, tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFound):
        back_up(data, tmp_path / "none", "none")
    with pytest.raises(CollectionNotFound):
        restore(backup, tmp_path / "new", collection="none")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "new").exists()


@pytest.fixture
async def written(tmp_path: Path, make_document: Make) -> AsyncIterator[Callable[[], Path]]:
    """A data folder that is written to all the time, document by document, two at once."""
    async with open_catalog(tmp_path / "live") as catalog, asyncio.TaskGroup() as group:
        notes, _ = await catalog.create(CollectionSettings("notes", DIM))
        task = group.create_task(_write(notes, make_document))
        await notes.upsert([make_document("seen", 1)])
        yield lambda: tmp_path / "live"
        task.cancel()


async def _write(notes: Collection, make_document: Make) -> None:
    for n in range(10_000):
        await notes.upsert([make_document(f"a{n}", n), make_document(f"b{n}", n)])


async def test_a_backup_under_load_is_one_moment_of_it(written: Callable[[], Path], tmp_path: Path) -> None:
    for number in range(3):
        target = tmp_path / f"backup-{number}"
        await asyncio.to_thread(back_up, written(), target)
        report = await asyncio.to_thread(check_folder, target)
        assert report.problems == ()
        ids = set(await documents_in(target, "notes"))
        assert "seen" in ids
        count = (len(ids) - 1) // 2  # each pair was one write, in order
        assert ids == {"seen", *(f"{kind}{n}" for kind in "ab" for n in range(count))}


def test_a_target_that_has_something_is_left_alone(data: Path, backup: Path) -> None:
    before = content(backup)
    with pytest.raises(WouldReplace):
        back_up(data, backup)
    assert content(backup) == before


def test_a_backup_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="not a data folder"):
        back_up(tmp_path, tmp_path / "backup")


def test_a_damaged_file_is_not_backed_up_and_nothing_is_left(data: Path, tmp_path: Path) -> None:
    (data / "collections/notes/truth.db").write_bytes(b"no database" * 500)
    with pytest.raises(StorageFailed):
        back_up(data, tmp_path / "backup")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_disk_that_fills_up_is_said_and_leaves_nothing(
    data: Path, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = content(data)
    monkeypatch.setattr(files, "sync_all", no_space)
    with pytest.raises(StorageFull, match="no space"):
        back_up(data, tmp_path / "more")
    with pytest.raises(StorageFull, match="no space"):
        restore(backup, data, replace=True)
    assert content(data) == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "backup"}


async def test_a_collection_that_is_dropped_meanwhile_is_left_out(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = files.collection_names(data)
    shutil.rmtree(data / "collections/notes")
    monkeypatch.setattr(files, "collection_names", lambda _data: names)
    manifest = await asyncio.to_thread(back_up, data, tmp_path / "backup")
    assert manifest.collections == ["other"]


async def test_an_upload_keeps_its_job_in_a_backup(tmp_path: Path) -> None:
    async with open_catalog(tmp_path / "data") as catalog:
        await _wait_with_a_job(catalog, tmp_path)
        await asyncio.to_thread(back_up, tmp_path / "data", tmp_path / "backup")
    await asyncio.to_thread(restore, tmp_path / "backup", tmp_path / "new")
    async with open_catalog(tmp_path / "new") as catalog:
        notes = await catalog.get("notes")
        assert await notes.unfinished_jobs() == ["notes.1"]
        assert (tmp_path / "new/collections/notes/uploads/notes.1-0").read_bytes() == b"waits"


async def _wait_with_a_job(catalog: Catalog, folder: Path) -> None:
    notes, _ = await catalog.create(CollectionSettings("notes", DIM))
    (folder / "upload").write_bytes(b"waits")
    await notes.uploads.keep("notes.1", {0: folder / "upload"})
    await notes.add_job("notes.1", [b"payload"])
