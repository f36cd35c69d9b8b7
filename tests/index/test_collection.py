"""Documents, points and jobs of a collection."""

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import collection as collection_module
from index import writer
from index.catalog import Catalog, open_catalog
from index.collection import Collection
from index.errors import InvalidDocument, InvalidId, InvalidVector, StoreError
from index.filters import parse_filter
from index.rows import CollectionSettings, Document, JobItem, Passage, Query, Receipt, Revision
from index.store import Store
from index.writer import Change

Make = Callable[..., Document]


async def words_are_consistent(collection: Collection) -> None:
    """FTS5 itself compares its index with the passages."""
    await collection._writer.submit(check_words)


def check_words(connection) -> object:  # noqa: ANN001
    connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    return Change(None)


async def test_a_document_comes_back_as_it_was_written(collection: Collection, make_document: Make) -> None:
    store: Store = collection
    written = make_document(
        "folder/a.md",
        1,
        2,
        title="A titlé",
        metadata={"n": 1, "nested": {"list": [1, None, "ü"]}},
        content_hash=b"\x00\xff",
        media_type="text/markdown",
        expires_at="2030-01-01T00:00:00.000Z",
        acl=("team-a", "team-b"),
    )
    await store.upsert([written])
    stored = await store.document("folder/a.md", with_text=True)
    assert stored is not None
    for name in ("id", "title", "text", "metadata", "content_hash", "media_type", "expires_at", "acl"):
        assert getattr(stored, name) == getattr(written, name)
    assert (stored.version, stored.passages, stored.tokens, stored.characters) == (1, 2, 2, 11)
    assert stored.created_at == stored.updated_at
    assert (await store.document("folder/a.md")).text is None
    assert await store.document("nobody") is None


async def test_an_upsert_replaces_everything_and_counts_versions(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document("a", 1, 2, 3, metadata={"old": 1})])
    first = await collection.document("a")
    await collection.upsert([make_document("a", 9, metadata={"new": 1})])
    second = await collection.document("a", with_text=True)
    assert (second.version, second.passages, second.text) == (2, 1, "word9")
    assert second.created_at == first.created_at
    assert [p.id for p in await collection.points(["a#0", "a#1", "a#2"])] == ["a#0"]
    assert (await collection.search(Query(9, text="word2"))).hits == ()
    assert await collection.count(parse_filter({"old": 1})) == 0
    assert len((await collection.search(Query(9, vector=make_vector(1)))).hits) == 1
    await words_are_consistent(collection)


async def test_of_one_id_given_twice_the_last_counts(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1), make_document("b", 2), make_document("a", 3)])
    stored = await collection.document("a", with_text=True)
    assert (stored.text, stored.version) == ("word3", 1)
    assert await collection.count() == 2


async def test_a_document_may_have_no_passages(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("empty", text=None)])
    stored = await collection.document("empty", with_text=True)
    assert (stored.passages, stored.characters, stored.text) == (0, 0, None)


async def test_a_refused_document_changes_nothing(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("kept", 1)])
    short = Passage("x", 0, 1, np.ones(7, dtype=np.float32))
    infinite = Passage("x", 0, 1, np.full(8, np.inf, dtype=np.float32))
    for broken, error in (
        (make_document("new", passages=(short,)), InvalidVector),
        (make_document("new", passages=(infinite,)), InvalidVector),
        (make_document("new\n", 1), InvalidId),
        (make_document("new", 1, metadata={"a": float("nan")}), InvalidDocument),
        (make_document("new", 1, title="\ud800"), InvalidDocument),
        (make_document("new", 1, 2, is_point=True), InvalidDocument),
    ):
        with pytest.raises(error, match="new"):
            await collection.upsert([make_document("kept", 5), broken])
    assert [(d.id, d.version) for d in await collection.documents(10)] == [("kept", 1)]


async def test_a_faulty_vector_is_named(collection: Collection, make_document: Make) -> None:
    zero = Passage("x", 0, 1, np.zeros(8, dtype=np.float32))
    good = make_document("fine", 1, 2)
    broken = replace(good, id="broken", passages=(*good.passages, zero))
    with pytest.raises(InvalidVector, match=r"'broken', passage 2: .* zero"):
        await collection.upsert([good, broken])


async def test_a_point_is_a_document_with_its_own_id(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("p", 1, is_point=True, metadata={"a": 1})])
    (point,) = await collection.points(["p"])
    assert (point.id, point.document_id, point.metadata, point.version) == ("p", "p", {"a": 1}, 1)
    assert (await collection.document("p")).is_point


async def test_a_point_cannot_take_the_id_of_a_passage(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1, 2)])
    with pytest.raises(InvalidId, match="document 'a'"):
        await collection.upsert([make_document("a#1", 3, is_point=True)])
    with pytest.raises(InvalidId, match="two passages"):
        await collection.upsert([make_document("b", 1), make_document("b#0", 3, is_point=True)])
    assert await collection.count() == 2


async def test_points_come_in_the_order_asked_with_the_bits_that_were_written(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document("a", 1, 2, 3)])
    found = await collection.points(["a#2", "nobody", "a#0"], with_vectors=True)
    assert [point.id for point in found] == ["a#2", "a#0"]
    assert found[0].vector.tobytes() == make_vector(3).tobytes()
    assert (found[0].text, found[0].start, found[0].end) == ("word3", 12, 17)
    assert (await collection.points(["a#0"]))[0].vector is None


async def test_documents_are_listed_by_id_in_pages(collection: Collection, make_document: Make) -> None:
    ids = ["b", "a", "Z", "ä", "\U0001f600", "\uffff", "c"]
    await collection.upsert([make_document(id_, 1) for id_ in ids])
    listed, after = [], None
    while page := await collection.documents(3, after):
        listed += [document.id for document in page]
        after = page[-1].id
    assert listed == sorted(ids)


async def test_scrolling_visits_every_point_once(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document(f"d{n}", n, n + 100, metadata={"n": n}) for n in range(10)])
    seen, after = [], None
    while True:
        page, after = await collection.scroll(3, after, parse_filter({"n": {"$gte": 4}}))
        seen += [point.id for point in page]
        if after is None:
            break
    assert seen == [f"d{n}#{p}" for n in range(4, 10) for p in (0, 1)]
    exact_page, after = await collection.scroll(20)
    assert (len(exact_page), after) == (20, None)


async def test_deleting_counts_what_was_there(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document(f"d{n}", n, metadata={"even": n % 2 == 0}) for n in range(6)])
    assert await collection.delete(["d0", "d1", "nobody", "d1"]) == 2
    assert await collection.delete(["d0"]) == 0
    assert await collection.delete_matching(parse_filter({"even": True})) == 2
    assert [d.id for d in await collection.documents(9)] == ["d3", "d5"]
    assert await collection.delete_matching(parse_filter({})) == 2
    assert await collection.count() == 0
    await words_are_consistent(collection)


async def test_a_deleted_id_can_come_back(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document("a", 1)])
    await collection.delete(["a"])
    await collection.upsert([make_document("a", 2)])
    (hit,) = (await collection.search(Query(5, vector=make_vector(2), text="word2"))).hits
    assert (hit.id, hit.text) == ("a#0", "word2")
    assert (await collection.document("a")).version == 1


async def test_hashes_and_statistics(collection: Collection, make_document: Make) -> None:
    await collection.upsert(
        [make_document("a", 1, 2, content_hash=b"1"), make_document("b", content_hash=b"2")]
    )
    assert await collection.revisions(["a", "b", "c"]) == {"a": Revision(1, b"1"), "b": Revision(1, b"2")}
    statistics = await collection.statistics()
    assert (statistics.documents, statistics.points, statistics.graph_points) == (2, 2, 0)
    assert statistics.size_bytes > 4096


async def test_a_job_keeps_its_items_until_they_are_settled(
    collection: Collection, make_document: Make
) -> None:
    await collection.add_job("job", [b"one", b"two", b"three"])
    assert await collection.unfinished_jobs() == ["job"]
    await collection.upsert([make_document("a", 1)], [Receipt("job", 1, {"status": "ready"})])
    assert await collection.pending_items("job", 1) == [JobItem(0, b"one")]
    assert await collection.pending_items("job", 9) == [JobItem(0, b"one"), JobItem(2, b"three")]
    await collection.settle([Receipt("job", 0, {"status": "failed"}, failed=True)])
    state = await collection.job("job")
    assert (state.total, state.done, state.failed, state.finished_at) == (3, 2, 1, None)
    await collection.settle([Receipt("job", 2, {"status": "ready"})])
    state = await collection.job("job")
    assert (state.done, state.failed) == (3, 1)
    assert state.finished_at == state.updated_at
    assert await collection.unfinished_jobs() == []
    statuses = [result["status"] for result in await collection.job_results("job")]
    assert statuses == ["failed", "ready", "ready"]


async def test_a_job_is_told_as_finished_when_what_it_wrote_can_be_found(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is read from the file, which knows of a commit before memory does."""
    await collection.upsert([make_document("first", 1)])
    await collection.search(Query(1, vector=make_document("first", 1).passages[0].vector))
    await collection.add_job("job", [b"one"])
    committed, told = threading.Event(), threading.Event()
    commit = writer.commit

    def commit_and_be_slow(*given: Any) -> Any:
        outcomes = commit(*given)
        committed.set()
        told.wait()
        return outcomes

    monkeypatch.setattr(writer, "commit", commit_and_be_slow)
    async with asyncio.TaskGroup() as group:
        group.create_task(
            collection.upsert([make_document("second", 2)], [Receipt("job", 0, {"status": "ready"})])
        )
        await asyncio.to_thread(committed.wait)
        asked = [group.create_task(ask) for ask in (collection.job("job"), collection.jobs(1))]
        try:
            done, _ = await asyncio.wait(asked, timeout=0.2)
            assert not done
            assert await collection.count() == 1
        finally:
            told.set()
        one, [listed] = await asyncio.gather(*asked)
        assert one.finished_at is not None
        assert one == listed
        assert await collection.count() == 2


async def test_an_item_is_settled_once(collection: Collection) -> None:
    await collection.add_job("job", [b"one"])
    await collection.settle(
        [Receipt("job", 0, {"n": 1}), Receipt("job", 7, {"n": 7}), Receipt("none", 0, {})]
    )
    first = await collection.job("job")
    await collection.settle([Receipt("job", 0, {"n": 2}, failed=True)])
    assert await collection.job_results("job") == [{"n": 1}]
    assert (await collection.job("job")).finished_at == first.finished_at


async def test_jobs_come_oldest_first_and_an_empty_one_is_finished(collection: Collection) -> None:
    for name in ("z", "a", "m"):
        await collection.add_job(name, [b""])
    await collection.add_job("empty", [])
    assert await collection.unfinished_jobs() == ["z", "a", "m"]
    assert (await collection.job("empty")).finished_at
    assert await collection.job("nobody") is None
    with pytest.raises(InvalidId):
        await collection.add_job("a", [])


async def test_a_receipt_and_its_document_stand_or_fall_together(
    collection: Collection, make_document: Make
) -> None:
    await collection.add_job("job", [b"one"])
    await collection.upsert([make_document("a", 1)])
    with pytest.raises(StoreError):
        await collection.upsert(
            [make_document("a#0", 1, is_point=True)], [Receipt("job", 0, {"status": "ready"})]
        )
    assert (await collection.job("job")).done == 0


async def test_everything_is_there_after_a_restart(
    tmp_path: Path, make_document: Make, make_vector: Callable
) -> None:
    settings = CollectionSettings("notes", 8)
    async with open_catalog(tmp_path) as catalog:
        collection, _ = await catalog.create(settings)
        await collection.upsert([make_document(f"d{n}", n, n + 50) for n in range(10)])
        await collection.add_job("job", [b"payload"])
        await collection.delete(["d3"])
    async with open_catalog(tmp_path) as catalog:
        collection = await catalog.get("notes")
        assert await collection.count() == 18
        assert (await collection.search(Query(1, vector=make_vector(57)))).hits[0].id == "d7#1"
        assert (await collection.search(Query(1, text="word57"))).hits[0].id == "d7#1"
        assert await collection.pending_items("job", 5) == [JobItem(0, b"payload")]


async def test_searching_while_writing_finds_whole_documents(
    catalog: Catalog, make_document: Make, make_vector: Callable
) -> None:
    collection, _ = await catalog.create(CollectionSettings("busy", 8))
    await collection.upsert([make_document(f"d{n}", n) for n in range(30)])
    finished = asyncio.Event()

    async def write() -> None:
        for turn in range(1, 25):
            await collection.upsert(
                [make_document(f"d{n}", n, metadata={"turn": turn}) for n in range(turn % 3, 30, 3)]
            )
        finished.set()

    async def read(seed: int) -> int:
        searches = 0
        while not finished.is_set():
            result = await collection.search(Query(30, vector=make_vector(seed), text=f"word{seed}"))
            ids = [hit.document_id for hit in result.hits]
            assert len(ids) == len(set(ids)) == 30
            assert all(hit.text == f"word{hit.document_id[1:]}" for hit in result.hits)
            searches += 1
        return searches

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read(seed)) for seed in range(3)]
        group.create_task(write())
    assert all(reader.result() for reader in readers)


async def test_a_description_whose_writer_left_is_there_all_the_same(collection: Collection) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> Change[None]:
        entered.set()
        assert go_on.wait(30)
        return Change(None)

    holding = asyncio.create_task(collection._writer.submit(hold))
    describing = asyncio.create_task(collection.describe("mine"))
    assert await asyncio.to_thread(entered.wait, 30)  # both are in one group
    describing.cancel()
    await asyncio.wait([describing])
    go_on.set()
    await holding
    assert await collection._readers.rows("SELECT description FROM settings") == [("mine",)]
    assert collection.settings.description == "mine"


async def test_a_collection_that_is_dropped_while_its_files_are_counted_has_no_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "notes"
    (folder / "uploads").mkdir(parents=True)
    (folder / "truth.db").write_bytes(b"x")
    stat = Path.stat

    def dropping(path: Path, **options: bool) -> os.stat_result:
        if path.name == "truth.db":
            shutil.rmtree(folder)
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", dropping)
    assert collection_module._size_bytes(folder) == 0
