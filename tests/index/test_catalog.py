"""The data folder: creating, dropping, locking, crashes in between, and formats."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from index import migrations
from index.catalog import Catalog, open_catalog
from index.collection import Collection
from index.errors import (
    CollectionExists,
    CollectionNotFound,
    DataFolderInUse,
    DataTooNew,
    InvalidName,
    InvalidSettings,
    StorageFailed,
)
from index.rows import CollectionSettings, Document, Metric, Query

SETTINGS = CollectionSettings(
    "notes", 8, "dot", "a-model", "rev", "abc", "about", quantization="none", chunk_tokens=64
)


async def test_a_collection_comes_back_with_its_settings(tmp_path: Path) -> None:
    async with open_catalog(tmp_path) as catalog:
        collection, created = await catalog.create(SETTINGS)
        assert (created, collection.settings) == (True, SETTINGS)
        await collection.describe("changed")
    async with open_catalog(tmp_path) as catalog:
        assert catalog.names() == ["notes"]
        assert (await catalog.get("notes")).settings == replace(SETTINGS, description="changed")
        assert (tmp_path / "collections/notes/uploads").is_dir()


async def test_the_same_settings_again_are_no_conflict(catalog: Catalog) -> None:
    first, _ = await catalog.create(SETTINGS)
    second, created = await catalog.create(SETTINGS)
    assert first is second
    assert not created


async def test_other_settings_are_a_conflict_that_names_them(catalog: Catalog) -> None:
    await catalog.create(SETTINGS)
    with pytest.raises(CollectionExists) as caught:
        await catalog.create(replace(SETTINGS, dim=9, model=None))
    assert caught.value.differences == {"dim": (8, 9), "model": ("a-model", None)}


@pytest.mark.parametrize(
    ("dim", "metric", "usual"),
    [(384, "cosine", "int8"), (128, "cosine", "int8"), (64, "cosine", "none"), (384, "dot", "none")],
)
async def test_graphs_have_eight_bits_where_these_serve_as_well(
    catalog: Catalog, dim: int, metric: Metric, usual: str
) -> None:
    collection, _ = await catalog.create(CollectionSettings("notes", dim, metric))
    assert collection.settings.quantization == usual


async def test_whoever_says_nothing_of_quantization_means_what_is_there(catalog: Catalog) -> None:
    made, _ = await catalog.create(CollectionSettings("notes", 384, quantization="none"))
    again, created = await catalog.create(CollectionSettings("notes", 384))
    assert (again, created) == (made, False)
    with pytest.raises(CollectionExists, match="quantization"):
        await catalog.create(CollectionSettings("notes", 384, quantization="int8"))


async def test_many_may_create_the_same_collection_at_once(catalog: Catalog) -> None:
    outcomes = await asyncio.gather(*(catalog.create(SETTINGS) for _ in range(8)))
    assert sum(created for _, created in outcomes) == 1
    assert len({id(collection) for collection, _ in outcomes}) == 1


@pytest.mark.parametrize("name", ["", "Upper", "-a", "_a", "a" * 64, "a/b", "..", "a b", "ä", "a\n"])
async def test_other_names_are_refused(catalog: Catalog, name: str) -> None:
    with pytest.raises(InvalidName):
        await catalog.create(replace(SETTINGS, name=name))


@pytest.mark.parametrize(
    "change", [{"dim": 0}, {"dim": 70_000}, {"metric": "manhattan"}, {"quantization": "int4"}]
)
async def test_impossible_settings_are_refused(catalog: Catalog, change: dict) -> None:
    with pytest.raises(InvalidSettings):
        await catalog.create(replace(SETTINGS, **change))


async def test_a_dropped_collection_is_gone_and_its_name_free(
    tmp_path: Path, catalog: Catalog, collection: Collection, make_document: Callable[..., Document]
) -> None:
    await collection.upsert([make_document("a", 1)])
    await catalog.drop("notes")
    assert list((tmp_path / "collections").iterdir()) == []
    for use in (
        lambda: collection.upsert([make_document("b", 1)]),
        lambda: collection.document("a"),
        lambda: collection.search(Query(1, text="word1")),
        lambda: catalog.drop("notes"),
    ):
        with pytest.raises(CollectionNotFound):
            await use()
    with pytest.raises(CollectionNotFound):
        await catalog.get("notes")
    again, created = await catalog.create(CollectionSettings("notes", 3))
    assert created
    assert await again.count() == 0


async def test_dropping_waits_for_those_who_read(
    catalog: Catalog, collection: Collection, make_document: Callable[..., Document], make_vector: Callable
) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in range(20)])
    searches = [
        asyncio.create_task(collection.search(Query(5, vector=make_vector(n), text="word1")))
        for n in range(30)
    ]
    await asyncio.sleep(0)
    await catalog.drop("notes")
    outcomes = await asyncio.gather(*searches, return_exceptions=True)
    assert all(isinstance(o, CollectionNotFound) or len(o.hits) == 5 for o in outcomes)


async def test_leftovers_of_a_crash_are_swept(tmp_path: Path) -> None:
    async with open_catalog(tmp_path) as catalog:
        await catalog.create(SETTINGS)
    for name in (".creating-1", ".dropped-2"):
        (tmp_path / "collections" / name).mkdir()
        (tmp_path / "collections" / name / "truth.db").write_bytes(b"half")
    async with open_catalog(tmp_path) as catalog:
        assert catalog.names() == ["notes"]
    assert [path.name for path in (tmp_path / "collections").iterdir()] == ["notes"]


async def test_a_second_catalog_on_the_folder_is_refused(tmp_path: Path) -> None:
    async with open_catalog(tmp_path):
        with pytest.raises(DataFolderInUse, match=str(tmp_path)):
            async with open_catalog(tmp_path):
                pass
    async with open_catalog(tmp_path):
        pass


async def test_a_second_process_on_the_folder_is_refused(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom index.catalog import open_catalog\n"
        "async def main():\n    async with open_catalog(Path(sys.argv[1])): pass\nasyncio.run(main())"
    )
    async with open_catalog(tmp_path):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program, tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "DataFolderInUse" in done.stderr


async def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with open_catalog(tmp_path) as catalog:
        await catalog.create(SETTINGS)
    path = tmp_path / "collections" / "notes" / "truth.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DataTooNew, match="format 99") as caught:
        async with open_catalog(tmp_path):
            pass
    assert (caught.value.found, caught.value.known) == (99, len(migrations.MIGRATIONS))


async def test_an_older_format_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_catalog(tmp_path) as catalog:
        await catalog.create(SETTINGS)
    steps = (*migrations.MIGRATIONS, lambda c: c.execute("CREATE TABLE extra (a)") and None)
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    async with open_catalog(tmp_path) as catalog:
        rows = await (await catalog.get("notes"))._readers.rows("SELECT count(*) FROM extra")
        assert rows == [(0,)]


def test_a_migration_that_fails_changes_nothing() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        migrations.migrate(connection, [broken])
    tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    version = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    assert (tables, version) == ([], (0,))


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
async def test_a_broken_file_is_a_typed_error(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "collections" / "notes"
    folder.mkdir(parents=True)
    (folder / "truth.db").write_bytes(content)
    with pytest.raises(StorageFailed):
        async with open_catalog(tmp_path):
            pass


async def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed):
        async with open_catalog(tmp_path / "file"):
            pass


async def test_a_vector_of_another_length_in_the_file_is_noticed(
    tmp_path: Path, make_document: Callable[..., Document]
) -> None:
    async with open_catalog(tmp_path) as catalog:
        collection, _ = await catalog.create(SETTINGS)
        await collection.upsert([make_document("a", 1)])
    with sqlite3.connect(tmp_path / "collections" / "notes" / "truth.db") as connection:
        connection.execute("UPDATE passages SET vector = x'00000000'")
    connection.close()
    async with open_catalog(tmp_path) as catalog:
        assert await (await catalog.get("notes")).count() == 1
        with pytest.raises(StorageFailed, match="does not have 8 numbers"):
            await (await catalog.get("notes")).search(Query(1, text="word1"))


async def test_a_caller_that_leaves_while_creating_leaves_a_whole_collection(catalog: Catalog) -> None:
    creating = asyncio.create_task(catalog.create(SETTINGS))
    await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    _, created = await catalog.create(SETTINGS)
    assert not created
