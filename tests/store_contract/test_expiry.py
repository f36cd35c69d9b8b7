"""What has expired is met by no read and no write, from its moment on."""

import pytest
from store_samples import FUTURE, PAST, document_of, ids_of, point_of, vector_of

from index.errors import VersionConflict
from index.filters import parse_filter
from index.rows import DocumentPatch, Query
from index.store import Store


@pytest.fixture
async def with_expired(store: Store) -> Store:
    """The document "here", with "over" written when it was over, and "ended" ended by a patch."""
    await store.upsert(
        [
            document_of("here", 1, metadata={"n": 1}, expires_at=FUTURE),
            document_of("over", 2, metadata={"n": 1}, expires_at=PAST),
            document_of("ended", 3, metadata={"n": 1}),
        ]
    )
    await store.patch("ended", DocumentPatch(expires_at=PAST))
    return store


async def test_no_read_meets_what_has_expired(with_expired: Store) -> None:
    store, ids, one = with_expired, ["here", "over", "ended"], parse_filter({"n": 1})
    # First those that go past memory: nobody may have to look before they are right.
    assert set(await store.stamps(ids)) == set(await store.revisions(ids)) == {"here"}
    assert [document.id for document in await store.documents(9)] == ["here"]
    assert [copy.document.id for copy in await store.copies()] == ["here"]
    assert [await store.document(id_) for id_ in ids[1:]] == [None, None]
    assert ids_of(await store.points([f"{id_}#0" for id_ in ids])) == ["here#0"]
    assert (
        ids_of((await store.scroll(9))[0]) == ids_of((await store.scroll(9, condition=one))[0]) == ["here#0"]
    )
    assert await store.count() == await store.count(one) == 1
    assert [(value.value, value.points) for value in (await store.facets("n", 9)).values] == [(1, 1)]
    statistics = await store.statistics()
    assert (statistics.documents, statistics.points) == (1, 1)


@pytest.mark.parametrize(
    "query",
    [
        Query(9, vector=vector_of(2)),
        Query(9, vector=vector_of(2), exact=True),
        Query(9, vector=vector_of(2), filter=parse_filter({"n": 1})),
        Query(9, vector=vector_of(2), filter=parse_filter({"n": {"$ne": 2}})),
        Query(9, vector=vector_of(2), text="word1 word2 word3"),
        Query(9, text="word1 word2 word3"),
        Query(9, text="word1 word2 word3", filter=parse_filter({"n": 1})),
        Query(9, vector=vector_of(2), group_by="document", diversity=0.5),
    ],
)
async def test_no_search_meets_what_has_expired(with_expired: Store, query: Query) -> None:
    assert ids_of(await with_expired.search(query)) == ["here#0"]


async def test_nothing_is_written_to_what_has_expired(with_expired: Store) -> None:
    assert await with_expired.patch("over", DocumentPatch({"k": 1}, expires_at=None)) is None
    assert await with_expired.delete(["over", "ended"]) == 0
    assert await with_expired.delete_matching(parse_filter({"n": 1})) == 1
    with pytest.raises(VersionConflict):
        await with_expired.upsert([document_of("ended", 9, if_version=2)])


async def test_an_id_whose_document_has_expired_is_free_for_a_new_one(with_expired: Store) -> None:
    await with_expired.upsert([document_of("over", 8, if_version=0), point_of("ended#0", 9)])
    assert {id_: r.version for id_, r in (await with_expired.revisions(["over", "ended#0"])).items()} == {
        "over": 1,
        "ended#0": 1,
    }
    found = await with_expired.search(Query(9, vector=vector_of(2)))
    assert set(ids_of(found)) == {"here#0", "over#0", "ended#0"}
    assert (await with_expired.search(Query(9, text="word2"))).hits == ()
    assert await with_expired.count() == 3


async def test_a_moment_to_come_can_be_moved_and_taken_away(store: Store) -> None:
    await store.upsert([document_of("a", 1, expires_at=FUTURE), document_of("b", 2)])
    assert (await store.points(["a#0"]))[0].expires_at == FUTURE
    for expires_at in (None, FUTURE):
        patched = await store.patch("a", DocumentPatch(expires_at=expires_at))
        assert patched is not None
        assert patched.expires_at == expires_at
    assert await store.count() == 2


async def test_sizes_leave_out_at_once_what_has_just_expired(store: Store) -> None:
    await store.upsert([document_of("here", 1), document_of("ended", 2, 3)])
    await store.patch("ended", DocumentPatch(expires_at=PAST))
    statistics = await store.statistics()
    assert (statistics.documents, statistics.points) == (1, 1)
