"""Documents changed in place."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.collection import Collection
from index.document_patch import merge
from index.errors import InvalidDocument, VersionConflict
from index.filters import parse_filter
from index.rows import Document, DocumentPatch, Query

Make = Callable[..., Document]

# RFC 7396, appendix A: original, patch, result.
RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("original", "patch", "result"), RFC_7396)
def test_merging_is_that_of_the_rfc(original: Any, patch: Any, result: Any) -> None:
    assert merge(original, patch) == result


@given(json_values, json_values)
def test_merging_twice_is_merging_once(original: Any, patch: Any) -> None:
    once = merge(original, patch)
    assert merge(once, patch) == once


async def test_a_patch_changes_the_metadata_and_leaves_the_rest(
    collection: Collection, make_document: Make, make_vector: Callable[[int], np.ndarray]
) -> None:
    metadata = {"lang": "en", "year": 2020, "place": {"city": "Ulm", "zip": 1}}
    await collection.upsert([make_document("a", 1, 2, metadata=metadata, content_hash=b"x", acl=("me",))])
    seqs = [p.id for p in await collection.points(["a#0", "a#1"])]
    before = await collection.document("a", with_text=True)
    patch = DocumentPatch({"year": None, "place": {"zip": None}, "new": [1]})
    patched = await collection.patch("a", patch)
    after = await collection.document("a", with_text=True)
    assert after.metadata == {"lang": "en", "place": {"city": "Ulm"}, "new": [1]}
    assert (after.version, after.content_hash) == (2, b"")
    assert (after.text, after.title, after.acl, after.created_at) == (
        before.text,
        before.title,
        before.acl,
        before.created_at,
    )
    assert patched == await collection.document("a")
    assert [p.id for p in await collection.points(["a#0", "a#1"])] == seqs
    hit = (
        await collection.search(Query(1, vector=make_vector(2), filter=parse_filter({"lang": "en"})))
    ).hits[0]
    assert (hit.id, dict(hit.metadata)) == ("a#1", dict(after.metadata))


async def test_filters_follow_a_patch(
    collection: Collection, make_document: Make, make_vector: Callable[[int], np.ndarray]
) -> None:
    await collection.upsert([make_document(n, 1, metadata={"lang": "en"}) for n in "ab"])
    for n in range(3):
        lang = f"x{n}"
        await collection.patch("a", DocumentPatch({"lang": lang}))
        for condition, expected in (({"lang": lang}, "a"), ({"lang": "en"}, "b")):
            query = Query(5, vector=make_vector(1), filter=parse_filter(condition))
            assert [hit.document_id for hit in (await collection.search(query)).hits] == [expected]
            assert await collection.count(parse_filter(condition)) == 1


async def test_a_document_is_found_by_its_new_title_and_not_by_the_old(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document("a", 1, 2, title="Harbour"), make_document("b", 3, title="Pier")])
    await collection.patch("a", DocumentPatch(title="Lighthouse"))

    async def found(word: str) -> set[str]:
        return {hit.id for hit in (await collection.search(Query(9, text=word))).hits}

    assert await found("lighthouse") == {"a#0", "a#1"}
    assert await found("harbour") == set()
    assert await found("pier") == {"b#0"}
    assert await found("word2") == {"a#1"}
    assert (await collection.points(["a#0"]))[0].title == "Lighthouse"
    await collection.delete(["a"])
    connection = collection._writer._connection
    connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")


async def test_a_patch_for_another_version_changes_nothing(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document("a", 1)])
    assert (await collection.patch("a", DocumentPatch({"n": 1}), {1})).version == 2
    with pytest.raises(VersionConflict, match="has version 2"):
        await collection.patch("a", DocumentPatch({"n": 2}), {1})
    assert (await collection.document("a")).metadata == {"n": 1}


async def test_of_patches_at_once_none_is_lost(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1)])
    await asyncio.gather(*(collection.patch("a", DocumentPatch({str(n): n})) for n in range(30)))
    document = await collection.document("a")
    assert document.metadata == {str(n): n for n in range(30)}
    assert document.version == 31


async def test_what_is_not_there_is_not_patched(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1)])
    assert await collection.patch("a#0", DocumentPatch({"n": 1})) is None
    assert await collection.patch("b", DocumentPatch({"n": 1}), {1}) is None


@pytest.mark.parametrize(
    "patch",
    [
        DocumentPatch({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}),
        DocumentPatch({"a": "\0"}),
        DocumentPatch({"a": float("nan")}),
        DocumentPatch({"big": "x" * 40_000}),
        DocumentPatch(title="\ud800"),
        DocumentPatch(expires_at="2030-01-01T00:00:00+01:00"),
    ],
)
async def test_a_patch_that_cannot_be_stored_changes_nothing(
    collection: Collection, make_document: Make, patch: DocumentPatch
) -> None:
    await collection.upsert([make_document("a", 1, metadata={"old": "x" * 40_000})])
    before = await collection.document("a")
    with pytest.raises(InvalidDocument):
        await collection.patch("a", patch)
    assert await collection.document("a") == before


async def test_a_point_can_be_patched_and_made_to_stay(
    collection: Collection, make_document: Make, make_vector: Callable[[int], np.ndarray]
) -> None:
    await collection.upsert([make_document("a", 1, is_point=True)])
    await collection.patch("a", DocumentPatch({"n": 1}, "New", "2999-01-01T00:00:00.000Z"))
    point = (await collection.points(["a"], with_vectors=True))[0]
    assert (point.metadata, point.title, point.expires_at) == ({"n": 1}, "New", "2999-01-01T00:00:00.000Z")
    np.testing.assert_array_equal(point.vector, make_vector(1))
    stayed = await collection.patch("a", DocumentPatch())
    assert (stayed.expires_at, stayed.version) == ("2999-01-01T00:00:00.000Z", 3)
    assert (await collection.patch("a", DocumentPatch(expires_at=None))).expires_at is None
