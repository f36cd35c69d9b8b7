"""Scrolling: every point once, whatever is written meanwhile, by cursors that only their collection takes."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from index import cursors, migrations
from index.catalog import Catalog, open_catalog
from index.collection import Collection
from index.database import FILE_NAME
from index.errors import InvalidCursor, StorageFailed
from index.growth import GraphTuning
from index.readers import Readers
from index.rows import CollectionSettings, Document

Make = Callable[..., Document]
SECRET = bytes(range(16))


@given(st.integers(0, 2**63 - 1))
def test_a_cursor_says_where_it_stands(seq: int) -> None:
    cursor = cursors.sign(seq, SECRET)
    assert cursors.verify(cursor, SECRET) == seq
    assert len(cursor) == 24


@given(st.integers(0, 23), st.characters())
@example(0, "Ā")
@example(23, "\ud800")
def test_a_cursor_that_was_changed_is_refused(place: int, other: str) -> None:
    cursor = cursors.sign(4711, SECRET)
    changed = cursor[:place] + other + cursor[place + 1 :]
    if changed != cursor:
        with pytest.raises(InvalidCursor):
            cursors.verify(changed, SECRET)


@pytest.mark.parametrize("cursor", ["", "12", "=", "AAAA", "\0", "ä", "\ud800"])
def test_what_never_was_a_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.verify(cursor, SECRET)


def test_no_text_may_stand_around_a_cursor() -> None:
    cursor = cursors.sign(1, SECRET)
    for changed in (
        f" {cursor}",
        f"{cursor}\n",
        f"{cursor}AAAA",
        cursor[:-1],
        f"{cursor[:12]}!{cursor[12:]}",
    ):
        with pytest.raises(InvalidCursor):
            cursors.verify(changed, SECRET)


async def cursor_of(collection: Collection, make_document: Make) -> str:
    await collection.upsert([make_document(f"d{n}", n) for n in range(4)])
    _, after = await collection.scroll(2)
    assert after is not None
    return after


async def test_a_cursor_of_another_collection_is_refused(
    catalog: Catalog, collection: Collection, make_document: Make
) -> None:
    after = await cursor_of(collection, make_document)
    other, _ = await catalog.create(CollectionSettings("other", collection.settings.dim))
    await cursor_of(other, make_document)
    with pytest.raises(InvalidCursor):
        await other.scroll(2, after)


async def test_a_cursor_does_not_outlive_its_collection(
    catalog: Catalog, collection: Collection, make_document: Make
) -> None:
    after = await cursor_of(collection, make_document)
    await catalog.drop("notes")
    remade, _ = await catalog.create(collection.settings)
    await cursor_of(remade, make_document)
    with pytest.raises(InvalidCursor):
        await remade.scroll(2, after)


async def test_a_cursor_outlives_a_restart(tmp_path: Path, make_document: Make, tuning: GraphTuning) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        after = await cursor_of(collection, make_document)
    async with open_catalog(tmp_path, tuning) as catalog:
        page, after = await (await catalog.get("notes")).scroll(2, after)
    assert ([point.id for point in page], after) == (["d2#0", "d3#0"], None)


async def test_what_signs_cursors_is_read_once(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in range(4)])
    read, asked = Readers.rows, []

    async def rows(self: Readers, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        asked.append(sql)
        return await read(self, sql, parameters)

    monkeypatch.setattr(Readers, "rows", rows)
    after, pages = None, 0
    while pages == 0 or after is not None:
        _, after = await collection.scroll(1, after)
        pages += 1
    assert (pages, len([sql for sql in asked if "identity" in sql])) == (4, 1)


async def test_writes_on_the_way_hide_no_point_and_repeat_none(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in range(6)])
    first, after = await collection.scroll(3)
    await collection.delete(["d0", "d4"])
    await collection.upsert([make_document("d1", 11), make_document("d3", 13), make_document("new", 20)])
    rest, after = await collection.scroll(10, after)
    assert [point.id for point in first] == ["d0#0", "d1#0", "d2#0"]
    # d1 comes back because it was replaced: its new version had not been met.
    assert [(point.id, point.version) for point in rest] == [
        ("d5#0", 1),
        ("d1#0", 2),
        ("d3#0", 2),
        ("new#0", 1),
    ]
    assert after is None


def test_only_a_file_that_can_be_read_forgets_its_cursors(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrations.migrate(connection, migrations.MIGRATIONS[:3])
    cursors.forget_all(tmp_path)  # one of an older format has none
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StorageFailed):
        cursors.forget_all(tmp_path)


def test_a_file_of_an_older_format_is_given_an_identity_once() -> None:
    secrets = []
    for _ in range(2):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        migrations.migrate(connection, migrations.MIGRATIONS[:3])
        migrations.migrate(connection)
        migrations.migrate(connection)
        secrets += connection.execute("SELECT secret FROM identity").fetchall()
        connection.close()
    assert [len(secret) for (secret,) in secrets] == [16, 16]
    assert secrets[0] != secrets[1]
