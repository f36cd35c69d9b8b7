"""A collection's copy is filled, follows what happens to it, and is the same bit for bit."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from copying_places import MakeCopy, Place, opened_folder, opened_postgres
from document_copies import comparable
from store_samples import FUTURE, PAST, document_of, point_of, settings_of, vector_of

from index.catalog import Catalog
from index.copying.catalog import CatalogCopy, Wanted
from index.copying.comparison import compare
from index.copying.folder import open_folder
from index.errors import CollectionNotFound, StorageFailed
from index.rows import Document, DocumentPatch, Passage
from index.store import Store


async def contents(store: Store) -> dict[str, Any]:
    """Every document, whole, by its id."""
    found: dict[str, Any] = {}
    while page := await store.copies(max(found, default=None)):
        found |= {copy.document.id: comparable(copy) for copy in page}
    return found


def odd_document() -> Document:
    """With all that a document can have, and what is easily lost on the way."""
    smallest = np.array([1e-45, -0.0, 1.1754944e-38, 3, 1 / 3, -1e-30, 0, 1e18], dtype=np.float32)
    passages = (
        Passage("a\0b", 0, 3, smallest, 2, "head\x1aing", 5, b"\x00\xffpacked", "digest"),
        Passage("\U0001f600", 3, 4, vector_of(2), tokens=1),
    )
    return Document(
        id="odd/é#1 ",
        title="\x1a\x01",
        text="a\0b\U0001f600",
        metadata={"z": 1.0, "a": [1, True, None, {"b": 1e300}], "": "\x1a"},
        passages=passages,
        content_hash=b"\x00\x01",
        media_type="text/x-odd",
        expires_at=FUTURE,
        acl=("b", "a"),
    )


async def test_a_copy_in_postgres_and_back_is_the_same_bit_for_bit(
    source: Catalog, notes: Store, postgres_url: str, tmp_path: Path
) -> None:
    await notes.upsert([odd_document(), Document("empty", "", None, {}, ())])
    await notes.patch("d001", DocumentPatch(metadata={"n": None}, title="changed"))
    await source.assign("latest", "notes")
    async with (
        opened_postgres(postgres_url, tmp_path / "spool") as (shared, marks),
        opened_folder(tmp_path / "back") as (back, back_marks),
    ):
        there = CatalogCopy(source, shared, marks, Wanted(), lambda _: None)
        await there.catch_up()
        home = CatalogCopy(shared, back, back_marks, Wanted(), lambda _: None)
        await home.catch_up()
        compared = [await compare(copy) for copy in (*there.copies, *home.copies)]
        assert all(comparison.agrees for comparison in compared)
        assert {comparison.source for comparison in compared} == {compared[0].target}
        assert compared[0].target.documents == 13
        for catalog in (shared, back):
            assert await contents(await catalog.get("latest")) == await contents(notes)
            assert (await catalog.get("notes")).settings == notes.settings
        found = await (await back.get("notes")).vectors_by_digest(["digest"])
        assert found["digest"].token_vectors == b"\x00\xffpacked"


async def test_what_happens_to_the_source_later_is_brought_over(
    source: Catalog, notes: Store, target: Place, make_copy: MakeCopy
) -> None:
    copy = make_copy()
    await copy.catch_up()
    await notes.upsert([document_of("d001", 99), document_of("new", 1)])
    await notes.patch("d002", DocumentPatch(metadata={"x": 1}))
    await notes.delete(["d003", "p"])
    await notes.describe("of the source")
    other, _ = await source.create(settings_of("other", metric="l2"))
    await other.upsert([point_of("q", 1)])
    await source.assign("latest", "other")
    assert await copy.catch_up() == 5
    for name in ("notes", "other"):
        assert await contents(await target[0].get(name)) == await contents(await source.get(name))
    assert (await target[0].get("notes")).settings.description == "of the source"
    await source.assign("latest", "notes")
    assert await copy.catch_up() == 0
    assert target[0].aliases == {"latest": "notes"}


async def test_writes_go_on_while_it_is_copied_and_compared(
    notes: Store, target: Place, make_copy: MakeCopy
) -> None:
    done = asyncio.Event()

    async def write() -> None:
        n = 0
        while not done.is_set():
            n += 1
            await notes.upsert([document_of(f"d{n % 30:03}", n, n + 1, n + 2)])
            await notes.delete([f"d{(n + 15) % 30:03}"])

    writing = asyncio.create_task(write())
    copy = make_copy()
    await copy.catch_up()
    compared = [await compare(copy.copies[0]) for _ in range(3)]
    done.set()
    await writing
    last = await compare(copy.copies[0])
    assert [comparison.differing for comparison in (*compared, last)] == [()] * 4
    assert all(comparison.agrees for comparison in compared)
    assert await contents(await target[0].get("notes")) == await contents(notes)


async def test_only_what_was_asked_for_is_copied_and_by_another_name(
    source: Catalog, notes: Store, target: Place, make_copy: MakeCopy
) -> None:
    await source.create(settings_of("other"))
    await source.assign("latest", "notes")
    copy = make_copy(Wanted(["latest"], "renamed"))
    await copy.catch_up()
    assert target[0].names() == ["renamed"]
    assert target[0].aliases == {}
    assert (await compare(copy.copies[0])).agrees
    with pytest.raises(CollectionNotFound):
        await make_copy(Wanted(["nothing"])).catch_up()


async def test_a_folder_is_read_beside_who_writes_to_it(
    source: Catalog, notes: Store, target: Place, make_copy: MakeCopy, tmp_path: Path
) -> None:
    async with open_folder(tmp_path / "source") as sources:
        copy = make_copy(sources=sources)
        await copy.catch_up()
        await notes.upsert([document_of("new", 1)])
        later, _ = await source.create(settings_of("later"))
        await later.upsert([document_of("x", 1)])
        await source.assign("latest", "later")
        await copy.catch_up()
        assert all([(await compare(each)).agrees for each in copy.copies])
        assert await contents(await target[0].get("notes")) == await contents(notes)
        assert await contents(await target[0].get("latest")) == await contents(later)
        await source.drop("later")
        await copy.catch_up()
        assert [each.name for each in copy.copies] == ["notes"]
        with pytest.raises(CollectionNotFound):
            await sources.get("later")


async def test_what_is_no_data_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="is not a data folder"):
        async with open_folder(tmp_path):
            pass


async def test_what_has_expired_is_neither_copied_nor_missed(notes: Store, make_copy: MakeCopy) -> None:
    copy = make_copy()
    await copy.catch_up()
    await notes.patch("d001", DocumentPatch(expires_at=PAST))
    assert (await compare(copy.copies[0])).agrees
    assert await copy.copies[0].target.document("d001") is None


async def test_an_id_that_a_passage_of_an_older_state_had_is_free_for_its_new_owner(
    notes: Store, target: Place, make_copy: MakeCopy
) -> None:
    copy = make_copy()
    await copy.catch_up()
    await notes.upsert([document_of("d001", 1)])
    await notes.upsert([point_of("d001#1", 5)])
    # Enough for "d001" as it is at last to be in another page of the history.
    await notes.upsert([point_of(f"x{n}", n) for n in range(600)])
    await notes.upsert([document_of("d001", 2)])
    assert (await compare(copy.copies[0])).agrees
    assert await contents(await target[0].get("notes")) == await contents(notes)
