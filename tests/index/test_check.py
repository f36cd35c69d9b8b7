"""A data folder is damaged in one way at a time: the check says so, and repairs what is not the truth."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from backups import write_value

from index import mapped, snapshot
from index.blocks import Block
from index.catalog import open_catalog
from index.check import check_folder
from index.errors import DataFolderInUse, StorageFailed
from index.expiry import Expiry
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, DocumentPatch, Query

Make = Callable[..., Document]
DIM = 8
ROWS = 80


@pytest.fixture
async def data(tmp_path: Path, tuning: GraphTuning, make_document: Make) -> AsyncIterator[Path]:
    """A closed data folder with one collection of documents and a stored graph."""
    folder = tmp_path / "data"
    async with open_catalog(folder, tuning) as catalog:
        notes, _ = await catalog.create(CollectionSettings("notes", DIM))
        await notes.upsert([make_document("gone", 1000, 1001)])  # the graph never sees these two
        await notes.delete(["gone"])
        await notes.upsert([make_document(f"d{n}", 2 * n, 2 * n + 1) for n in range(ROWS // 2)])
        await notes.graph_settled()
    return folder


def folder_of(data: Path) -> Path:
    return data / "collections" / "notes"


def damage(data: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder_of(data) / "truth.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def found(data: Path, *, repair: bool = False) -> list[tuple[str, bool]]:
    return [(problem.part, problem.repaired) for problem in check_folder(data, repair=repair).problems]


def test_a_sound_folder_has_nothing_wrong(data: Path) -> None:
    report = check_folder(data)
    assert (report.collections, report.problems, report.whole) == (("notes",), (), True)
    assert (folder_of(data) / snapshot.MANIFEST).exists()


def test_a_check_changes_no_file(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    check_folder(data)
    assert before == {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}


async def test_words_that_do_not_agree_with_the_texts_are_found_and_made_anew(
    data: Path, tuning: GraphTuning
) -> None:
    damage(data, "DELETE FROM words_data WHERE id > 10")
    assert await asyncio.to_thread(found, data) == [("words", False)]
    assert await asyncio.to_thread(found, data, repair=True) == [("words", True)]
    assert await asyncio.to_thread(found, data) == []
    async with open_catalog(data, tuning) as catalog:
        result = await (await catalog.get("notes")).search(Query(1, text="word21", mode="lexical"))
    assert [hit.id for hit in result.hits] == ["d10#1"]


def test_a_text_that_was_changed_behind_the_index_is_found(data: Path) -> None:
    damage(data, "UPDATE passages SET text = 'other' WHERE id = 'd7#0'")
    assert found(data) == [("words", False)]


@pytest.mark.parametrize(
    "blob",
    [
        np.full(DIM, np.nan, dtype="<f4").tobytes(),
        np.full(DIM, np.inf, dtype="<f4").tobytes(),
        np.zeros(DIM, dtype="<f4").tobytes(),
        b"\0" * 7,
    ],
)
def test_a_vector_that_cannot_be_searched_is_named_and_left_as_it_is(data: Path, blob: bytes) -> None:
    damage(data, f"UPDATE passages SET vector = x'{blob.hex()}' WHERE id = 'd5#1'")
    report = check_folder(data, repair=True)
    (problem,) = report.problems
    assert (problem.part, problem.repaired, report.whole) == ("vectors", False, False)
    assert "'d5#1'" in problem.message


def test_of_many_vectors_the_rest_is_counted(data: Path) -> None:
    damage(data, "UPDATE passages SET vector = x'00'")
    *named, rest = [problem.message for problem in check_folder(data).problems]
    assert len(named) == 20
    assert rest == f"so are those of {ROWS - 20} others"


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("DELETE FROM documents WHERE id = 'd9'", "references"),
        ("UPDATE documents SET passages = 3 WHERE id = 'd9'", "rows"),
        ("UPDATE documents SET metadata = '{' WHERE id = 'd9'", "rows"),
        ("UPDATE sqlite_sequence SET seq = 4 WHERE name = 'passages'", "rows"),
        ("UPDATE sqlite_sequence SET seq = 4 WHERE name = 'documents'", "rows"),
        ("DELETE FROM settings", "file"),
        ("PRAGMA user_version = 999", "file"),
    ],
)
def test_a_broken_rule_is_found_and_not_repaired(data: Path, statement: str, part: str) -> None:
    damage(data, statement)
    assert (part, False) in found(data, repair=True)


def test_a_file_that_is_not_sqlites_is_found(data: Path) -> None:
    (folder_of(data) / "truth.db").write_bytes(b"no database" * 1000)
    assert found(data, repair=True) == [("file", False)]


def test_a_database_beside_the_collections_is_looked_at(data: Path) -> None:
    write_value(data / "keys.db", "whole")
    assert check_folder(data).problems == ()
    (data / "keys.db").write_bytes(b"nonsense" * 1000)
    (problem,) = check_folder(data, repair=True).problems
    assert (problem.collection, problem.part, problem.repaired) == ("", "file", False)
    assert "keys.db" in problem.message


def test_a_file_that_is_missing_is_found_and_not_made(data: Path) -> None:
    (folder_of(data) / "truth.db").unlink()
    assert found(data, repair=True) == [("file", False)]
    assert not (folder_of(data) / "truth.db").exists()


def test_a_torn_page_is_found_and_nothing_is_repaired_on_top_of_it(data: Path) -> None:
    path = folder_of(data) / "truth.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 4096 + whole[len(whole) // 2 + 4096 :])
    torn = path.read_bytes()
    assert {part for part, _ in found(data, repair=True)} == {"file"}
    assert path.read_bytes() == torn


def overwrite_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: overwrite_middle(next(folder.glob("graph-*.hnsw"))),
        lambda folder: next(folder.glob("graph-*.hnsw")).unlink(),
        lambda folder: (folder / snapshot.MANIFEST).write_text("[]"),
    ],
)
def test_a_graph_that_cannot_be_used_is_found_and_removed(
    data: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(folder_of(data))
    assert found(data) == [("graph", False)]
    assert found(data, repair=True) == [("graph", True)]
    assert not list(folder_of(data).glob("graph*"))
    assert found(data) == []


def test_mapped_vectors_that_cannot_be_believed_are_found_and_removed(data: Path) -> None:
    seqs = np.arange(1, 5)
    rows = np.ones((4, DIM), dtype=np.float32)
    mapped.write(Block(rows, seqs, seqs, np.ones(4, dtype=np.bool_)), folder_of(data), "cosine")
    assert found(data) == []
    overwrite_middle(folder_of(data) / "vectors-1.f32")
    assert found(data) == [("mapped", False)]
    assert found(data, repair=True) == [("mapped", True)]
    assert not (folder_of(data) / "vectors-1.f32").exists()


def test_a_whole_graph_that_lacks_a_row_is_found(data: Path) -> None:
    damage(
        data, "UPDATE passages SET seq = 1 WHERE id = 'd9#0'", "INSERT INTO words (words) VALUES ('rebuild')"
    )
    assert found(data, repair=True) == [("graph", True)]


def test_rows_that_came_after_the_graph_are_nothing_wrong(data: Path) -> None:
    damage(
        data,
        "UPDATE passages SET seq = seq + 1000 WHERE id = 'd9#0'",
        "UPDATE sqlite_sequence SET seq = 2000 WHERE name = 'passages'",
        "INSERT INTO words (words) VALUES ('rebuild')",
    )
    assert found(data) == []


def test_what_a_crash_left_is_found_and_removed(data: Path) -> None:
    (data / "collections" / ".creating-1").mkdir()
    (data / "collections" / ".dropped-2").mkdir()
    (folder_of(data) / "graph.hnsw.tmp").write_bytes(b"half")
    assert found(data) == [("leftovers", False)] * 3
    assert found(data, repair=True) == [("leftovers", True)] * 3
    assert found(data) == []


async def test_a_folder_that_is_in_use_is_not_touched(tmp_path: Path, tuning: GraphTuning) -> None:
    async with open_catalog(tmp_path, tuning):
        with pytest.raises(DataFolderInUse):
            check_folder(tmp_path)


def test_a_folder_of_something_else_is_refused_and_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="not a data folder"):
        check_folder(tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_graph_may_lack_what_has_expired_and_is_not_deleted_yet(
    tmp_path: Path,
    tuning: GraphTuning,
    make_document: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def leave_it(_: Expiry) -> None: ...

    monkeypatch.setattr(Expiry, "_sweep", leave_it)
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        await collection.upsert([make_document("goes", *range(50)), make_document("stays", *range(50, 120))])
        await collection.graph_settled()
        await collection.patch("goes", DocumentPatch(expires_at="2001-01-01T00:00:00.000Z"))
        assert (await collection.statistics()).points == 70
        await collection.graph_settled()
        assert (await collection.statistics()).graph_deleted == 0  # it was built anew
    assert (await asyncio.to_thread(check_folder, tmp_path)).problems == ()
