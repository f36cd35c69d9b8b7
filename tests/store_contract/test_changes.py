"""Versions and conditional writes, patches, writes that are carried out once."""

import asyncio
from typing import Any

import pytest
from store_samples import FUTURE, document_of, everything_of, ids_of, point_of, vector_of

from index.errors import InvalidVector, KeyReused, VersionConflict
from index.filters import parse_filter
from index.rows import DocumentPatch, Once, Query, Receipt
from index.store import Store


async def test_every_write_of_a_document_is_one_version(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    await store.upsert([document_of("a", 1)])
    await store.patch("a", DocumentPatch(title="t"))
    await store.patch("a", DocumentPatch())
    assert (await store.revisions(["a"]))["a"].version == 4
    assert [point.version for point in await store.points(["a#0"])] == [4]


async def test_a_write_for_the_version_that_is_there_is_done(store: Store) -> None:
    await store.upsert([document_of("a", 1, if_version=0)])
    await store.upsert([document_of("a", 2, if_version=1), document_of("b", 3, if_version=0)])
    versions = {id_: revision.version for id_, revision in (await store.revisions(["a", "b"])).items()}
    assert versions == {"a": 2, "b": 1}


@pytest.mark.parametrize(("id_", "version", "found"), [("a", 0, 2), ("a", 1, 2), ("a", 3, 2), ("none", 1, 0)])
async def test_a_write_for_another_version_is_refused_with_all_beside_it(
    store: Store, id_: str, version: int, found: int
) -> None:
    await store.upsert([document_of("a", 1)])
    await store.upsert([document_of("a", 1)])
    await store.add_job("job", [b"x"])
    before = await everything_of(store)
    with pytest.raises(VersionConflict) as caught:
        await store.upsert(
            [document_of("b", 2), document_of(id_, 3, if_version=version)], [Receipt("job", 0, {})]
        )
    assert (caught.value.id, caught.value.found) == (id_, found)
    assert await everything_of(store) == before
    assert len(await store.pending_items("job", 9)) == 1


async def test_of_many_writers_that_read_one_version_one_wins(store: Store) -> None:
    await store.upsert([document_of("a", 0)])
    outcomes = await asyncio.gather(
        *(store.upsert([document_of("a", n, if_version=1)]) for n in range(1, 20)), return_exceptions=True
    )
    winners = [n for n, outcome in enumerate(outcomes, start=1) if outcome is None]
    assert len(winners) == 1
    assert all(isinstance(outcome, VersionConflict) for outcome in outcomes if outcome is not None)
    assert ids_of(await store.search(Query(9, text=f"word{winners[0]}"))) == ["a#0"]


async def test_a_delete_for_other_versions_deletes_nothing(store: Store) -> None:
    await store.upsert([document_of("a", 1), document_of("b", 2)])
    await store.upsert([document_of("b", 2)])
    for ids in (["a", "b"], ["b"], ["none"]):
        with pytest.raises(VersionConflict):
            await store.delete(ids, versions={1})
    assert await store.count() == 2
    assert await store.delete(["a", "b"], versions={1, 2}) == 2


async def test_a_patch_for_another_version_changes_nothing(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    before = await everything_of(store)
    with pytest.raises(VersionConflict):
        await store.patch("a", DocumentPatch({"k": 1}), versions={2})
    assert await everything_of(store) == before
    patched = await store.patch("a", DocumentPatch({"k": 1}), versions={1})
    assert patched is not None
    assert patched.version == 2


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [  # RFC 7396, appendix A, as far as both are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a.b": 1, "a": {"b": 2}}, {"a.b": None}, {"a": {"b": 2}}),
    ],
)
async def test_a_patch_is_a_json_merge_patch(
    store: Store, before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]
) -> None:
    await store.upsert([document_of("a", 1, metadata=before)])
    patched = await store.patch("a", DocumentPatch(patch))
    assert patched is not None
    assert patched.metadata == after
    assert patched == await store.document("a")
    (hit,) = (await store.search(Query(1, vector=vector_of(1)))).hits
    assert hit.metadata == after


async def test_a_patch_leaves_what_it_does_not_name(store: Store) -> None:
    written = document_of(
        "a", 1, 2, title="old", metadata={"k": 1}, expires_at=FUTURE, acl=("x",), content_hash=b"h"
    )
    await store.upsert([written, document_of("b", 3)])
    points = await store.points(["a#0", "a#1"], with_vectors=True)
    patched = await store.patch("a", DocumentPatch(title="Zebra"))
    assert patched is not None
    assert (patched.title, patched.metadata, patched.expires_at) == ("Zebra", {"k": 1}, FUTURE)
    assert (patched.acl, patched.passages, patched.characters) == (("x",), 2, 16)
    after = await store.points(["a#0", "a#1"], with_vectors=True)
    assert [(p.text, p.vector.tobytes()) for p in after] == [(p.text, p.vector.tobytes()) for p in points]
    # In place: in a scroll it stays before what was written later.
    assert ids_of((await store.scroll(9))[0]) == ["a#0", "a#1", "b#0"]
    unlimited = await store.patch("a", DocumentPatch(expires_at=None))
    assert unlimited is not None
    assert unlimited.expires_at is None


async def test_what_was_patched_is_found_as_it_is_now_and_not_as_it_was(store: Store) -> None:
    await store.upsert([document_of("a", 1, 2, title="Antelope", metadata={"lang": "en"})])
    before = await store.revisions(["a"])
    await store.patch("a", DocumentPatch({"lang": "de"}, title="Zebra"))
    assert set(ids_of(await store.search(Query(9, text="zebra")))) == {"a#0", "a#1"}
    assert (await store.search(Query(9, text="antelope"))).hits == ()
    for lang, count in (("en", 0), ("de", 2)):
        condition = parse_filter({"lang": lang})
        assert len((await store.search(Query(9, vector=vector_of(1), filter=condition))).hits) == count
        assert await store.count(condition) == count
        assert len((await store.scroll(9, condition=condition))[0]) == count
    assert (await store.revisions(["a"]))["a"].content_hash in (b"", before["a"].content_hash)


async def test_patching_what_is_not_there_is_none_and_makes_nothing(store: Store) -> None:
    assert await store.patch("none", DocumentPatch({"k": 1})) is None
    assert await store.patch("none", DocumentPatch({"k": 1}), versions={1}) is None
    assert await store.documents(9) == []


async def test_patches_of_many_tasks_are_all_done(store: Store) -> None:
    await store.upsert([document_of("a", 1)])
    await asyncio.gather(*(store.patch("a", DocumentPatch({f"k{n}": n})) for n in range(30)))
    stored = await store.document("a")
    assert stored is not None
    assert stored.version == 31
    assert stored.metadata == {f"k{n}": n for n in range(30)}


async def test_a_write_sent_again_under_its_key_gives_the_same_and_changes_nothing(
    stores: Any, store: Store
) -> None:
    upsert, patch, delete, clear, job = (Once(name, b"all it says") for name in "updcj")
    await store.upsert([document_of("a", 1), document_of("b", 2)], once=upsert)
    patched = await store.patch("a", DocumentPatch({"k": 1}), once=patch)
    assert await store.delete(["b"], once=delete) == 1
    await store.upsert([document_of("b", 3), document_of("c", 4)])
    assert await store.delete_matching(parse_filter({"document_id": "c"}), once=clear) == 1
    await store.upsert([document_of("c", 4)])
    assert await store.add_job("first", [b"x"], once=job) == "first"
    before = await everything_of(store)
    for restarted in (False, True):
        again = await stores.restart("notes") if restarted else store
        await again.upsert([document_of("a", 1), document_of("b", 2)], once=upsert)
        assert await again.patch("a", DocumentPatch({"k": 1}), once=patch) == patched
        assert await again.delete(["b"], once=delete) == 1
        assert await again.delete_matching(parse_filter({"document_id": "c"}), once=clear) == 1
        assert await again.add_job("second", [b"x"], once=job) == "first"
        assert await everything_of(again) == before
        assert await again.unfinished_jobs() == ["first"]
        assert await again.remembered(delete) == 1
        assert await again.remembered(Once("new", b"")) is None


async def test_a_key_that_came_with_something_else_is_refused(store: Store) -> None:
    await store.upsert([point_of("a", 1)], once=Once("key", b"one"))
    other = Once("key", b"two")
    for call in (
        store.upsert([point_of("b", 1)], once=other),
        store.delete(["a"], once=other),
        store.patch("a", DocumentPatch({"k": 1}), once=other),
        store.delete_matching(parse_filter({}), once=other),
        store.add_job("job", [], once=other),
        store.remembered(other),
    ):
        with pytest.raises(KeyReused):
            await call
    assert {id_: one.version for id_, one in (await store.revisions(["a", "b"])).items()} == {"a": 1}


async def test_a_write_that_failed_leaves_its_key_free(store: Store) -> None:
    once = Once("key", b"x")
    with pytest.raises(VersionConflict):
        await store.upsert([document_of("a", 1, if_version=3)], once=once)
    with pytest.raises(InvalidVector):
        await store.upsert([point_of("a", vector=vector_of(1, 3))], once=once)
    assert await store.remembered(once) is None
    await store.upsert([document_of("a", 1)], once=once)
    assert await store.count() == 1


async def test_one_write_sent_by_many_at_once_is_carried_out_once(store: Store) -> None:
    await asyncio.gather(*(store.upsert([document_of("a", 1)], once=Once("key", b"x")) for _ in range(20)))
    assert (await store.revisions(["a"]))["a"].version == 1
