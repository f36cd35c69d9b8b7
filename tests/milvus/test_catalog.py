"""Collections come to Milvus and go from it with those of the catalog below."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from milvus_server import MilvusServer
from store_samples import document_of, ids_of, settings_of, vector_of

from index.errors import CollectionNotFound
from index.milvus.catalog import MilvusCatalog
from index.rows import Query

Open = Callable[[str], AbstractAsyncContextManager[MilvusCatalog]]


async def test_a_dropped_collection_is_gone_from_milvus(catalog: MilvusCatalog) -> None:
    collection, is_new = await catalog.create(settings_of("my-notes"))
    await collection.mirror.caught_up()
    place = collection.mirror.place
    assert is_new
    assert place is not None
    await catalog.drop("my-notes")
    assert not await catalog.milvus.has(place)
    with pytest.raises(CollectionNotFound):
        await catalog.get("my-notes")
    with pytest.raises(CollectionNotFound):
        await collection.upsert([document_of("a", 1)])


async def test_a_collection_that_is_made_again_has_nothing_of_the_old_one(catalog: MilvusCatalog) -> None:
    for seed in (1, 2):
        collection, _ = await catalog.create(settings_of())
        await collection.mirror.caught_up()
        await collection.upsert([document_of(f"d{seed}", seed)])
        assert ids_of(await collection.search(Query(9, vector=vector_of(1)))) == [f"d{seed}#0"]
        await catalog.drop("notes")


async def test_a_collection_is_one_object_however_it_is_named(catalog: MilvusCatalog) -> None:
    collection, _ = await catalog.create(settings_of())
    assert await catalog.create(settings_of()) == (collection, False)
    assert await catalog.assign("alias", "notes")
    assert await catalog.get("alias") is await catalog.get("notes") is collection
    assert (catalog.names(), dict(catalog.aliases)) == (["notes"], {"alias": "notes"})
    assert await catalog.resolve("alias") == "notes"
    other, _ = await catalog.create(settings_of("other"))
    await catalog.switch(["alias"], "notes", "other")
    assert await catalog.get("alias") is other
    assert await catalog.unassign("alias")


async def test_names_that_milvus_writes_alike_are_two(catalog: MilvusCatalog) -> None:
    for name, seed in (("a-b", 1), ("a_b", 2)):
        collection, _ = await catalog.create(settings_of(name))
        await collection.mirror.caught_up()
        await collection.upsert([document_of(name, seed)])
    found = [await (await catalog.get(name)).search(Query(9, vector=vector_of(1))) for name in ("a-b", "a_b")]
    assert [ids_of(result) for result in found] == [["a-b#0"], ["a_b#0"]]


async def test_a_collection_is_dropped_without_milvus(open_over: Open, mortal: MilvusServer) -> None:
    async with open_over(mortal.url) as catalog:
        collection, _ = await catalog.create(settings_of())
        await collection.mirror.caught_up()
        await collection.upsert([document_of("a", 1)])
        mortal.kill()
        await catalog.drop("notes")
        assert catalog.names() == []
        mortal.start()
        again, _ = await catalog.create(settings_of())
        await again.mirror.caught_up()
        result = await again.search(Query(9, vector=vector_of(1)))
        assert (result.hits, result.plan) == ((), "milvus")
