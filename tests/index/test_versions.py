"""Writes that hold only for one version of a document."""

import asyncio
from collections.abc import Callable

import pytest

from index.collection import Collection
from index.errors import VersionConflict
from index.rows import Document

Make = Callable[..., Document]


async def test_a_write_for_the_current_version_replaces_it(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document("a", 1)])
    await collection.upsert([make_document("a", 2, if_version=1)])
    assert (await collection.document("a")).version == 2


async def test_a_write_for_an_old_version_changes_nothing_of_its_request(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document("a", 1)])
    await collection.upsert([make_document("a", 2)])
    with pytest.raises(VersionConflict, match="'a' has version 2") as caught:
        await collection.upsert([make_document("b", 3), make_document("a", 3, if_version=1)])
    assert caught.value.found == 2
    assert [d.id for d in await collection.documents(9)] == ["a"]


async def test_version_0_means_that_there_is_none_yet(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1, if_version=0)])
    with pytest.raises(VersionConflict, match="has version 1"):
        await collection.upsert([make_document("a", 1, if_version=0)])
    with pytest.raises(VersionConflict, match="'b' is not there"):
        await collection.upsert([make_document("b", 1, if_version=1)])


async def test_of_many_writers_for_one_version_one_wins(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 0)])
    writes = [collection.upsert([make_document("a", n, if_version=1)]) for n in range(20)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType"] + 19 * ["VersionConflict"]
    assert (await collection.document("a")).version == 2


async def test_a_delete_for_another_version_deletes_nothing(
    collection: Collection, make_document: Make
) -> None:
    await collection.upsert([make_document("a", 1), make_document("b", 1)])
    await collection.upsert([make_document("b", 2)])
    with pytest.raises(VersionConflict, match="'b' has version 2"):
        await collection.delete(["a", "b"], {1})
    with pytest.raises(VersionConflict, match="'c' is not there"):
        await collection.delete(["c"], {1})
    assert await collection.delete(["a", "b"], {1, 2}) == 2


async def test_revisions_say_what_is_stored(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1, content_hash=b"old")])
    await collection.upsert([make_document("a", 1, content_hash=b"new")])
    found = (await collection.revisions(["a", "b"]))["a"]
    assert (found.version, found.content_hash) == (2, b"new")
