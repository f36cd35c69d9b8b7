"""A restore is done as a whole or not at all, and only of what is as it was written."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from backups import content, documents_in, value_in, write_value

from index import files
from index.backup import FORMAT, MANIFEST, back_up, seal
from index.catalog import open_catalog
from index.check import check_folder
from index.errors import (
    DataFolderInUse,
    DataTooNew,
    InvalidBackup,
    InvalidCursor,
    NameTaken,
    WouldReplace,
)
from index.restore import RESTORED, restore
from index.rows import Document

Make = Callable[..., Document]


def test_one_collection_of_a_backup_of_all_is_brought_back_alone(backup: Path, tmp_path: Path) -> None:
    assert restore(backup, tmp_path / "new", collection="other") == ["other"]
    assert set(content(tmp_path / "new")) == {"collections/other/truth.db"}


@pytest.mark.parametrize("name", files.DATABASES)
def test_a_database_comes_back_and_the_log_of_another_is_none_of_its(
    backup: Path, data: Path, tmp_path: Path, name: str
) -> None:
    crashed = tmp_path / "crashed"
    with closing(sqlite3.connect(data / name)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("UPDATE kept SET value = 'since'")
        shutil.copytree(data, crashed)  # as a process leaves it that is killed
    assert (crashed / f"{name}-wal").stat().st_size > 0
    with pytest.raises(WouldReplace, match=name):
        restore(backup, crashed)
    restore(backup, crashed, replace=True)
    assert value_in(crashed / name) == "first"
    assert check_folder(crashed).problems == ()


def test_one_collection_leaves_what_is_beside_it_alone(backup: Path, data: Path) -> None:
    for name in files.DATABASES:
        write_value(data / name, "since")
    restore(backup, data, collection="notes", replace=True)
    assert {value_in(data / name) for name in files.DATABASES} == {"since"}


def test_a_backup_with_a_newer_database_is_refused(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(DataTooNew, match=r"keys\.db"):
        restore(backup, tmp_path / "new", formats={"keys.db": 0, "models.db": 1})
    assert not (tmp_path / "new").exists()


def test_a_backup_from_before_there_were_databases_in_it_comes_back(backup: Path, tmp_path: Path) -> None:
    for name in files.DATABASES:
        (backup / name).unlink()

    def older(fields: dict) -> None:
        fields["format"] = 1
        fields["files"] = [file for file in fields["files"] if file["path"] not in files.DATABASES]

    resealed(backup, older)
    assert restore(backup, tmp_path / "new") == ["notes", "other"]


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
        "aliases.json/x",
        "calibration",
        "collections/./truth.db",
        "collections//notes/truth.db",
        "keys.db\0",
        3,
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(backup: Path, tmp_path: Path, path: object) -> None:
    resealed(backup, lambda fields: fields["files"][0].update(path=path))
    with pytest.raises(InvalidBackup, match="does not belong"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_collection_without_its_database_is_refused(backup: Path, data: Path) -> None:
    def forget(fields: dict) -> None:
        fields["files"] = [f for f in fields["files"] if f["path"] != "collections/notes/truth.db"]

    resealed(backup, forget)
    before = content(data)
    with pytest.raises(InvalidBackup, match="notes"):
        restore(backup, data, replace=True)
    assert content(data) == before


@pytest.mark.parametrize("replace", [False, True])
def test_no_name_becomes_that_of_a_collection_and_of_an_alias(
    backup: Path, data: Path, *, replace: bool
) -> None:
    shutil.rmtree(data / "collections/other")
    (data / "aliases.json").write_text('{"other": "notes"}')
    before = content(data)
    with pytest.raises(NameTaken, match="other"):
        restore(backup, data, collection="other", replace=replace)
    assert content(data) == before
    assert files.leftovers(data) == []


def test_an_alias_of_the_backup_that_is_a_collection_by_now_is_refused(backup: Path, data: Path) -> None:
    shutil.copytree(data / "collections/other", data / "collections/now")
    (data / "aliases.json").write_text("{}")
    before = content(data)
    with pytest.raises(NameTaken, match="now"):
        restore(backup, data, replace=True)
    assert content(data) == before
    assert restore(backup, data, collection="notes", replace=True) == ["notes"]


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
    resealed(backup, lambda fields: fields.update(format=FORMAT + 1))
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


@pytest.mark.parametrize("moves", range(15))
def test_a_restore_that_was_cut_short_is_ended_or_undone_by_the_next_start(
    backup: Path, data: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    with closing(sqlite3.connect(data / "collections/notes/truth.db")) as connection, connection:
        connection.execute("UPDATE documents SET version = 7")
    for name in files.DATABASES:
        write_value(data / name, "since")
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
    assert {value_in(data / name) for name in files.DATABASES} == {"first" if committed else "since"}
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


def test_vectors_come_back_to_the_bit(backup: Path, tmp_path: Path, make_vector: Callable) -> None:
    restore(backup, tmp_path / "new")

    async def vector() -> np.ndarray:
        async with open_catalog(tmp_path / "new") as catalog:
            (point,) = await (await catalog.get("notes")).points(["notes-3#0"], with_vectors=True)
            return point.vector

    assert asyncio.run(vector()).tobytes() == make_vector(3).tobytes()


async def test_a_cursor_does_not_outlive_a_restore(data: Path, backup: Path) -> None:
    async with open_catalog(data) as catalog:
        _, after = await (await catalog.get("notes")).scroll(5)
    restore(backup, data, replace=True)
    async with open_catalog(data) as catalog:
        with pytest.raises(InvalidCursor):
            await (await catalog.get("notes")).scroll(5, after)
