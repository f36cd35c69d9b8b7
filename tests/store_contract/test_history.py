"""The history by which others follow a collection."""

from collections.abc import Sequence
from typing import Any

import pytest
from store_samples import FUTURE, PAST, document_of, point_of, settings_of

from index.errors import HistoryLost, VersionConflict
from index.filters import parse_filter
from index.rows import Changes, DocumentPatch, Once, Stamps
from index.store import Store


async def _followed(store: Store, after: int, limit: int = 100) -> tuple[list[Changes], int]:
    """All pages behind a moment, and the moment behind them."""
    pages = []
    while True:
        page = await store.changes(after, limit)
        if not (page.copies or page.deleted):
            return pages, page.until
        pages.append(page)
        after = page.until


def _written(pages: Sequence[Changes]) -> list[str]:
    return [copy.document.id for page in pages for copy in page.copies]


def _deleted(pages: Sequence[Changes]) -> list[str]:
    return [id_ for page in pages for id_ in page.deleted]


async def test_a_collection_that_was_never_written_to_has_no_history(store: Store) -> None:
    page = await store.changes(0, 10)
    assert (page.copies, page.deleted, page.until) == ((), (), 0)


async def test_documents_come_in_the_order_of_their_writes_whole_and_as_they_are(store: Store) -> None:
    documents = [
        document_of("b", 1, 2, title="Zebra", metadata={"n": [1]}, expires_at=FUTURE, acl=("x",)),
        document_of("a", 3, content_hash=b"h"),
        point_of("c", 4, text="word4"),
    ]
    await store.upsert(documents[:2])
    await store.upsert(documents[2:])
    pages, _ = await _followed(store, 0)
    assert _written(pages) == ["b", "a", "c"]
    everywhere = {copy.document.id: copy for copy in await store.copies()}
    for copy in pages[0].copies:
        other = everywhere[copy.document.id]
        assert copy.stamps == other.stamps
        assert copy.document.metadata == other.document.metadata
        vectors = [[p.vector.tobytes() for p in each.document.passages] for each in (copy, other)]
        assert vectors[0] == vectors[1]
        assert [(p.text, p.start, p.end) for p in copy.document.passages] == [
            (p.text, p.start, p.end) for p in other.document.passages
        ]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_of_any_length_together_tell_the_same(store: Store, limit: int) -> None:
    await store.upsert([document_of(f"d{n}", n) for n in range(7)])
    await store.delete(["d2", "d5"])
    await store.upsert([document_of("d0", 9)])
    pages, last = await _followed(store, 0, limit)
    assert _written(pages) == ["d1", "d3", "d4", "d6", "d0"]
    assert _deleted(pages) == ["d2", "d5"]
    assert all(len(page.copies) + len(page.deleted) <= limit for page in pages)
    moments = [page.until for page in pages]
    assert moments == sorted(set(moments))
    assert last == moments[-1]


async def test_each_document_comes_once_however_often_it_was_written(store: Store) -> None:
    for seed in range(5):
        await store.upsert([document_of("a", seed), document_of("b", seed)])
    await store.upsert([document_of("a", 7), document_of("a", 8)])
    pages, last = await _followed(store, 0)
    assert _written(pages) == ["b", "a"]
    assert [copy.stamps.version for copy in pages[0].copies if copy.stamps] == [5, 6]
    assert (await store.changes(last, 10)).copies == ()


async def test_whoever_follows_hears_only_what_is_new(store: Store) -> None:
    await store.upsert([document_of("a", 1), document_of("b", 2)])
    _, moment = await _followed(store, 0)
    await store.upsert([document_of("c", 3)])
    pages, moment = await _followed(store, moment)
    assert _written(pages) == ["c"]
    await store.patch("a", DocumentPatch({"k": 1}, title="Zebra"))
    pages, moment = await _followed(store, moment)
    (copy,) = pages[0].copies
    assert (copy.document.id, copy.document.title, copy.document.metadata) == ("a", "Zebra", {"k": 1})
    assert len(copy.document.passages) == 1
    assert await _followed(store, moment) == ([], moment)


async def test_deletions_of_every_kind_are_told(store: Store) -> None:
    await store.upsert([document_of(id_, 1, metadata={"id": id_}) for id_ in "abcd"])
    _, moment = await _followed(store, 0)
    assert await store.delete(["a", "none"]) == 1
    assert await store.delete_matching(parse_filter({"id": "b"})) == 1
    assert await store.delete(["c"], once=Once("key", b"x")) == 1
    pages, after = await _followed(store, moment)
    assert (_written(pages), _deleted(pages)) == ([], ["a", "b", "c"])
    # Sent again it is not carried out again.
    assert await store.delete(["c"], once=Once("key", b"x")) == 1
    assert await _followed(store, after) == ([], after)


async def test_what_has_expired_is_told_as_deleted(store: Store) -> None:
    await store.upsert([document_of("here", 1), document_of("over", 2, expires_at=PAST)])
    await store.upsert([document_of("ended", 3)])
    await store.patch("ended", DocumentPatch(expires_at=PAST))
    pages, _ = await _followed(store, 0)
    assert _written(pages) == ["here"]
    assert set(_deleted(pages)) == {"over", "ended"}


async def test_a_document_that_came_back_is_not_told_as_deleted(store: Store) -> None:
    await store.upsert([document_of("a", 1), document_of("b", 2)])
    _, moment = await _followed(store, 0)
    await store.delete(["a", "b"])
    await store.upsert([document_of("a", 3)])
    pages, _ = await _followed(store, moment)
    assert (_written(pages), _deleted(pages)) == (["a"], ["b"])
    await store.delete(["a"])
    await store.upsert([document_of("b", 4)])
    await store.delete(["b"])
    pages, _ = await _followed(store, moment)
    assert (_written(pages), _deleted(pages)) == ([], ["a", "b"])


async def test_a_write_that_failed_is_no_moment(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    _, moment = await _followed(store, 0)
    with pytest.raises(VersionConflict):
        await store.upsert([document_of("b", 1), document_of("a", 1, if_version=9)])
    assert await _followed(store, moment) == ([], moment)


async def test_documents_with_stamps_of_their_own_are_told_like_others(store: Store) -> None:
    stamps = Stamps(7, PAST, PAST)
    await store.upsert([document_of("a", 1)], stamps={"a": stamps})
    pages, _ = await _followed(store, 0)
    assert [copy.stamps for copy in pages[0].copies] == [stamps]


async def test_a_page_ends_between_documents_and_not_in_one(store: Store) -> None:
    many = range(400)
    await store.upsert([document_of("a", *many), document_of("b", *many), document_of("c", 1)])
    pages, _ = await _followed(store, 0)
    assert _written(pages) == ["a", "b", "c"]
    passages = {copy.document.id: len(copy.document.passages) for page in pages for copy in page.copies}
    assert passages == {"a": 400, "b": 400, "c": 1}
    assert len(pages) == 2


async def test_whoever_begins_goes_on_from_the_last_moment(store: Store) -> None:
    await store.upsert([document_of("a", 1), document_of("b", 2)])
    await store.delete(["b"])
    now = await store.changes(0, 0)
    assert (now.copies, now.deleted) == ((), ())
    await store.upsert([document_of("c", 3)])
    pages, _ = await _followed(store, now.until)
    assert _written(pages) == ["c"]


async def test_a_moment_that_there_was_not_yet_is_lost(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    _, moment = await _followed(store, 0)
    with pytest.raises(HistoryLost):
        await store.changes(moment + 1, 10)


async def test_a_history_goes_on_after_a_restart(stores: Any, store: Store) -> None:
    await store.upsert([document_of("a", 1), document_of("b", 1)])
    await store.delete(["b"])
    before = await store.changes(0, 10)
    again = await stores.restart("notes")
    after = await again.changes(0, 10)
    assert (after.deleted, after.until, after.history) == (before.deleted, before.until, before.history)
    await again.upsert([document_of("c", 1)])
    pages, _ = await _followed(again, before.until)
    assert _written(pages) == ["c"]


async def test_another_collection_of_the_same_name_has_another_history(stores: Any, store: Store) -> None:
    first = (await store.changes(0, 1)).history
    await stores.drop("notes")
    again = await stores.create(settings_of())
    assert (await again.changes(0, 1)).history != first
