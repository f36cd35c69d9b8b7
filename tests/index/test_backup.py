"""Backups are taken while others write, and come back as they were, all at once or not at all."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from index import files
from index.backup import MANIFEST, back_up, seal
from index.catalog import Catalog, open_catalog
from index.check import check_folder
from index.collection import Collection
from index.errors import (
    CollectionNotFound,
    DataFolderInUse,
    DataTooNew,
    InvalidBackup,
    InvalidCursor,
    StorageFailed,
    StorageFull,
    WouldReplace,
)
from index.restore import RESTORED, restore
from index.rows import CollectionSettings, Document

Make = Callable[..., Document]
DIM = 8


@pytest.fixture
async def data(tmp_path: Path, make_document: Make) -> Path:
    """A closed data folder: two collections, an upload, and files beside them."""
    folder = tmp_path / "data"
    async with open_catalog(folder) as catalog:
        for name in ("notes", "other"):
            collection, _ = await catalog.create(CollectionSettings(name, DIM, description=name))
            await collection.upsert([make_document(f"{name}-{n}", n) for n in range(20)])
        (catalog.get("notes").uploads / "job-0").write_bytes(b"waits")
    (folder / "calibration").mkdir()
    (folder / "calibration" / "abc.json").write_text("[1]")
    (folder / "aliases.json").write_text('{"now": "notes"}')
    return folder


@pytest.fixture
def backup(data: Path, tmp_path: Path) -> Path:
    back_up(data, tmp_path / "backup")
    return tmp_path / "backup"


def content(folder: Path) -> dict[str, bytes]:
    """Every file, but for the lock."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != "embedd.lock"}


async def documents_in(data: Path, name: str) -> dict[str, int]:
    async with open_catalog(data) as catalog:
        return {each.id: each.version for each in await catalog.get(name).documents(1000)}


def test_a_backup_has_everything_but_the_graphs_and_is_whole(data: Path, backup: Path) -> None:
    assert set(content(backup)) == {
        "manifest.json",
        "aliases.json",
        "calibration/abc.json",
        "collections/notes/truth.db",
        "collections/notes/uploads/job-0",
        "collections/other/truth.db",
    }
    assert check_folder(backup).problems == ()


def test_checking_a_backup_leaves_it_as_it_is(backup: Path, tmp_path: Path) -> None:
    check_folder(backup)
    assert restore(backup, tmp_path / "new") == ["notes", "other"]


async def test_a_restored_folder_is_as_it_was(backup: Path, data: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert await asyncio.to_thread(restore, backup, new) == ["notes", "other"]
    expected, found = content(backup), content(new)
    assert set(found) == set(expected) - {MANIFEST}
    for name in found:
        if name.endswith("truth.db"):
            assert dumped(new / name) == dumped(backup / name)
        else:
            assert found[name] == expected[name]
    async with open_catalog(data) as before, open_catalog(new) as after:
        for name in ("notes", "other"):
            assert after.get(name).settings == before.get(name).settings
            assert await everything(after.get(name)) == await everything(before.get(name))


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


def test_one_collection_of_a_backup_of_all_is_brought_back_alone(backup: Path, tmp_path: Path) -> None:
    assert restore(backup, tmp_path / "new", collection="other") == ["other"]
    assert set(content(tmp_path / "new")) == {"collections/other/truth.db"}


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


def test_what_is_there_is_replaced_only_if_allowed(data: Path, backup: Path) -> None:
    (data / "collections/other").rename(data / "collections/third")
    before = content(data)
    with pytest.raises(WouldReplace, match="notes"):
        restore(backup, data)
    assert content(data) == before
    with closing(sqlite3.connect(data / "collections/notes/truth.db")) as connection, connection:
        connection.execute("DELETE FROM documents")
    assert restore(backup, data, replace=True) == ["notes", "other"]
    assert len(asyncio.run(documents_in(data, "notes"))) == 20
    assert len(asyncio.run(documents_in(data, "third"))) == 20  # it is not of the backup, so it stays
    assert files.leftovers(data) == []


def test_a_service_keeps_its_data_folder(backup: Path, data: Path) -> None:
    async def run() -> None:
        async with open_catalog(data):
            with pytest.raises(DataFolderInUse):
                restore(backup, data, replace=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    "name",
    [
        "collections/notes/truth.db",
        "collections/other/truth.db",
        "collections/notes/uploads/job-0",
        "calibration/abc.json",
        "aliases.json",
        "manifest.json",
    ],
)
@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
def test_a_changed_byte_anywhere_is_refused_with_nothing_changed(
    backup: Path, data: Path, name: str, where: float
) -> None:
    spoiled = bytearray((backup / name).read_bytes())
    spoiled[int(len(spoiled) * where)] ^= 4
    (backup / name).write_bytes(spoiled)
    before = content(data)
    with pytest.raises((InvalidBackup, DataTooNew)):
        restore(backup, data, replace=True)
    assert content(data) == before
    assert files.leftovers(data) == []


@pytest.mark.parametrize("name", ["collections/notes/truth.db", "collections/notes/uploads/job-0", MANIFEST])
def test_a_missing_file_is_refused(backup: Path, tmp_path: Path, name: str) -> None:
    (backup / name).unlink()
    with pytest.raises(InvalidBackup):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new/collections").exists() or not content(tmp_path / "new")


def resealed(backup: Path, change: Callable[[dict], object]) -> None:
    """The manifest changed by somebody who knows how."""
    fields = json.loads((backup / MANIFEST).read_text())
    fields.pop("sha256")
    change(fields)
    (backup / MANIFEST).write_text(json.dumps({**fields, "sha256": seal(fields)}))


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "/etc/outside",
        "collections/../../outside",
        "collections/NOT A NAME/truth.db",
        "collections/notes/graph.json",
        "collections/notes/uploads/..",
        "calibration/../outside",
        "embedd.lock",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(backup: Path, tmp_path: Path, path: str) -> None:
    resealed(backup, lambda fields: fields["files"][0].update(path=path))
    with pytest.raises(InvalidBackup, match="does not belong"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(files=3),
        lambda fields: fields.update(files=[{"path": "x"}]),
        lambda fields: fields.pop("files"),
        lambda fields: fields.pop("format"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(
    backup: Path, tmp_path: Path, change: Callable[[dict], object]
) -> None:
    resealed(backup, change)
    with pytest.raises(InvalidBackup):
        restore(backup, tmp_path / "new")


def test_a_newer_backup_is_refused(backup: Path, tmp_path: Path) -> None:
    resealed(backup, lambda fields: fields.update(format=2))
    with pytest.raises(DataTooNew):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_backup_with_newer_collections_is_refused(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data / "collections/other/truth.db")) as connection:
        connection.execute("PRAGMA user_version = 999")
    back_up(data, tmp_path / "backup")
    with pytest.raises(DataTooNew, match="999"):
        restore(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new").exists()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moves", range(8))
def test_a_restore_that_was_cut_short_is_ended_or_undone_by_the_next_start(
    backup: Path, data: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    with closing(sqlite3.connect(data / "collections/notes/truth.db")) as connection, connection:
        connection.execute("UPDATE documents SET version = 7")
    rename, left = Path.rename, iter(range(moves))

    def rename_until_killed(self: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_until_killed)
    with pytest.raises(Killed):
        restore(backup, data, replace=True)
    monkeypatch.undo()
    committed = moves > 0
    versions = {asyncio.run(documents_in(data, "notes"))["notes-3"] for _ in range(2)}
    assert versions == {1 if committed else 7}
    assert len(asyncio.run(documents_in(data, "other"))) == 20
    assert files.leftovers(data) == []
    assert not (data / RESTORED).exists()
    assert check_folder(data).problems == ()


def test_a_check_tells_of_a_restore_that_was_cut_short_and_ends_it(
    backup: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.restore.settle", lambda _data: None)
    restore(backup, data, replace=True)
    monkeypatch.undo()
    assert [problem.part for problem in check_folder(data).problems] == ["leftovers"]
    assert check_folder(data, repair=True).whole
    assert not (data / RESTORED).exists()


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
        await _wait_with_a_job(catalog)
        await asyncio.to_thread(back_up, tmp_path / "data", tmp_path / "backup")
    await asyncio.to_thread(restore, tmp_path / "backup", tmp_path / "new")
    async with open_catalog(tmp_path / "new") as catalog:
        notes = catalog.get("notes")
        assert await notes.unfinished_jobs() == ["notes.1"]
        assert (notes.uploads / "notes.1-0").read_bytes() == b"waits"


async def _wait_with_a_job(catalog: Catalog) -> None:
    notes, _ = await catalog.create(CollectionSettings("notes", DIM))
    (notes.uploads / "notes.1-0").write_bytes(b"waits")
    await notes.add_job("notes.1", [b"payload"])


def test_vectors_come_back_to_the_bit(backup: Path, tmp_path: Path, make_vector: Callable) -> None:
    restore(backup, tmp_path / "new")

    async def vector() -> np.ndarray:
        async with open_catalog(tmp_path / "new") as catalog:
            (point,) = await catalog.get("notes").points(["notes-3#0"], with_vectors=True)
            return point.vector

    assert asyncio.run(vector()).tobytes() == make_vector(3).tobytes()


async def test_a_cursor_does_not_outlive_a_restore(data: Path, backup: Path) -> None:
    async with open_catalog(data) as catalog:
        _, after = await catalog.get("notes").scroll(5)
    restore(backup, data, replace=True)
    async with open_catalog(data) as catalog:
        with pytest.raises(InvalidCursor):
            await catalog.get("notes").scroll(5, after)
