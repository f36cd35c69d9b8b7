"""What is committed comes to Milvus, whatever happens in between; until then the truth answers."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from milvus_server import MilvusServer
from store_samples import PAST, document_of, ids_of, point_of, settings_of, vector_of

from index.catalog import open_catalog
from index.collection import Collection
from index.filters import parse_filter
from index.growth import NO_GRAPHS
from index.milvus.catalog import MilvusCatalog
from index.milvus.collection import MilvusCollection
from index.milvus.marks import Marks
from index.rows import DocumentPatch, Query
from index.writer import Change

Open = Callable[[str], AbstractAsyncContextManager[MilvusCatalog]]
EVERYTHING = Query(100, vector=vector_of(1))


async def made(catalog: MilvusCatalog, *ids: str) -> MilvusCollection:
    """A collection that is found by Milvus, with documents of these ids."""
    collection, _ = await catalog.create(settings_of())
    await collection.mirror.caught_up()
    await collection.upsert([document_of(id_, n) for n, id_ in enumerate(ids)])
    return collection


async def met(catalog: MilvusCatalog) -> MilvusCollection:
    """The collection that there is, when its rows have come to Milvus."""
    collection = await catalog.get("notes")
    await collection.mirror.caught_up()
    return collection


async def found(collection: MilvusCollection) -> list[str]:
    """The ids of all points, found by Milvus."""
    result = await collection.search(EVERYTHING)
    assert result.plan == "milvus"
    return sorted(ids_of(result))


async def rows(catalog: MilvusCatalog, collection: MilvusCollection) -> list[str]:
    """The primary keys of all rows in Milvus."""
    assert collection.mirror.place is not None
    everything = await catalog.milvus.rows(collection.mirror.place, "moment >= 0", ["key"])
    return sorted(row["key"] for row in everything)


async def test_a_write_is_in_milvus_when_it_is_acknowledged(
    catalog: MilvusCatalog, collection: MilvusCollection
) -> None:
    await collection.upsert([document_of("a", 1, 2), point_of("b", 3)])
    assert await found(collection) == ["a#0", "a#1", "b"]
    await collection.upsert([document_of("a", 4)])
    await collection.patch("b", DocumentPatch({"k": 1}))
    assert await found(collection) == ["a#0", "b"]
    assert await rows(catalog, collection) == ["2:a#0", "2:b"]
    await collection.delete(["a"])
    assert await collection.delete_matching(parse_filter({"k": 1})) == 1
    assert await rows(catalog, collection) == []


async def test_each_of_many_writers_finds_what_it_wrote(
    catalog: MilvusCatalog, collection: MilvusCollection
) -> None:
    async def write(n: int) -> None:
        await collection.upsert([document_of(f"d{n}", n)])
        assert f"d{n}#0" in await found(collection)

    await asyncio.gather(*(write(n) for n in range(20)))
    assert len(await rows(catalog, collection)) == 20


async def test_what_was_committed_before_a_crash_comes_after_it(
    open_over: Open, data: Path, milvus_url: str
) -> None:
    async with open_over(milvus_url) as catalog:
        await made(catalog, "a", "b", "c")
    # As a service that is killed between its commit and Milvus.
    async with open_catalog(data, NO_GRAPHS) as below:
        truth = await below.get("notes")
        await truth.upsert([document_of("a", 4, 5), document_of("d", 6)])
        await truth.delete(["b"])
    async with open_over(milvus_url) as catalog:
        collection = await met(catalog)
        assert await found(collection) == ["a#0", "a#1", "c#0", "d#0"]
        assert await rows(catalog, collection) == ["1:c#0", "1:d#0", "2:a#0", "2:a#1"]


async def test_what_came_to_milvus_before_a_crash_is_there_once(
    open_over: Open, prefix: str, milvus_url: str
) -> None:
    async with open_over(milvus_url) as catalog:
        collection = await made(catalog, "a", "b")
        await collection.upsert([document_of("a", 5)])
        await collection.close()
        # As a service that is killed before it said how far it had come.
        await _change_mark(catalog, prefix, moment=0)
    async with open_over(milvus_url) as catalog:
        collection = await met(catalog)
        assert await rows(catalog, collection) == ["1:b#0", "2:a#0"]


async def test_a_filling_that_was_cut_short_goes_on(open_over: Open, prefix: str, milvus_url: str) -> None:
    async with open_over(milvus_url) as catalog:
        collection = await made(catalog, "a", "b", "c", "d")
        place = collection.mirror.place
        await collection.close()
        assert place is not None
        await catalog.milvus.delete(place, 'document_id > "b"')
        await _change_mark(catalog, prefix, filling=True, behind="b")
    async with open_over(milvus_url) as catalog:
        assert await found(await met(catalog)) == ["a#0", "b#0", "c#0", "d#0"]


async def _change_mark(catalog: MilvusCatalog, prefix: str, **fields: Any) -> None:
    marks = Marks(catalog.milvus, prefix)
    mark = await marks.read("notes")
    assert mark is not None
    await marks.write("notes", replace(mark, **fields))


async def test_a_write_brings_along_what_others_committed(
    catalog: MilvusCatalog, collection: MilvusCollection
) -> None:
    await collection.upsert([document_of("a", 1), document_of("b", 2)])
    # As another service does that ended before it could bring this to Milvus.
    await collection.truth.upsert([document_of("a", 3), document_of("c", 4)])
    await collection.truth.delete(["b"])
    await collection.upsert([document_of("d", 5)])
    assert await found(collection) == ["a#0", "c#0", "d#0"]
    assert await rows(catalog, collection) == ["1:c#0", "1:d#0", "2:a#0"]


async def test_a_row_of_an_old_version_that_comes_late_is_not_found(
    catalog: MilvusCatalog, collection: MilvusCollection
) -> None:
    await collection.upsert([document_of("a", 1), document_of("gone", 2)])
    place = collection.mirror.place
    assert place is not None
    late = await catalog.milvus.rows(place, "moment >= 0", ["*"])
    await collection.upsert([document_of("a", 3)])
    await collection.delete(["gone"])
    await catalog.milvus.upsert(place, late)
    assert len(await rows(catalog, collection)) == 3
    result = await collection.search(EVERYTHING)
    assert ids_of(result) == ["a#0"]
    assert result.hits[0].text == "word3"


async def test_without_milvus_writes_are_acknowledged_and_found(
    open_over: Open, mortal: MilvusServer
) -> None:
    async with open_over(mortal.url) as catalog:
        collection = await made(catalog, "a")
        mortal.kill()
        await collection.upsert([document_of("b", 2)])
        result = await collection.search(EVERYTHING)
        assert (sorted(ids_of(result)), result.plan) == (["a#0", "b#0"], "exact")
        assert "Milvus at 127.0.0.1" in catalog.milvus.reason
        mortal.start()
        await collection.mirror.caught_up()
        assert await found(collection) == ["a#0", "b#0"]
        assert catalog.milvus.reason == ""


async def test_a_service_starts_without_milvus(open_over: Open, mortal: MilvusServer) -> None:
    mortal.kill()
    async with open_over(mortal.url) as catalog:
        collection, _ = await catalog.create(settings_of())
        await collection.upsert([document_of("a", 1)])
        assert ids_of(await collection.search(EVERYTHING)) == ["a#0"]
        mortal.start()
        await collection.mirror.caught_up()
        assert await found(collection) == ["a#0"]


async def test_a_milvus_that_is_killed_under_load_loses_nothing(
    open_over: Open, mortal: MilvusServer
) -> None:
    async with open_over(mortal.url) as catalog:
        collection = await made(catalog)
        written: set[str] = set()
        enough = asyncio.Event()

        async def write(writer: int) -> None:
            for n in range(15):
                await collection.upsert([document_of(f"d{writer}-{n}", n), document_of(f"again{writer}", n)])
                written.update((f"d{writer}-{n}#0", f"again{writer}#0"))
                if len(written) >= 15:
                    enough.set()
                before = set(written)
                assert before <= set(ids_of(await collection.search(EVERYTHING)))

        async def kill() -> None:
            await enough.wait()
            await asyncio.to_thread(mortal.kill)
            await asyncio.to_thread(mortal.start)

        await asyncio.gather(kill(), *(write(writer) for writer in range(3)))
        await collection.mirror.caught_up()
        assert set(await found(collection)) == written
        assert len(await rows(catalog, collection)) == len(written)


async def test_rows_that_somebody_removed_are_made_anew(
    catalog: MilvusCatalog, collection: MilvusCollection
) -> None:
    await collection.upsert([document_of(f"d{n}", n) for n in range(5)])
    assert collection.mirror.place is not None
    await catalog.milvus.drop(collection.mirror.place)
    result = await collection.search(EVERYTHING)
    assert (len(result.hits), result.plan) == (5, "exact")
    await collection.mirror.caught_up()
    assert len(await found(collection)) == 5


async def test_rows_of_another_history_are_made_anew(open_over: Open, data: Path, milvus_url: str) -> None:
    async with open_over(milvus_url) as catalog:
        await made(catalog, "a", "b")
    # As if the collection had been dropped, and made again, while Milvus was away.
    async with open_catalog(data, NO_GRAPHS) as below:
        await below.drop("notes")
        truth, _ = await below.create(settings_of())
        await truth.upsert([document_of("b", 5), document_of("c", 6)])
    async with open_over(milvus_url) as catalog:
        collection = await met(catalog)
        assert await found(collection) == ["b#0", "c#0"]
        assert await rows(catalog, collection) == ["1:b#0", "1:c#0"]


async def test_rows_that_come_from_behind_what_is_remembered_are_made_anew(
    open_over: Open, data: Path, milvus_url: str
) -> None:
    async with open_over(milvus_url) as catalog:
        await made(catalog, "a", "b")
    async with open_catalog(data, NO_GRAPHS) as below:
        truth = await below.get("notes")
        await truth.delete(["a"])
        await _forget_everything(truth)
    async with open_over(milvus_url) as catalog:
        assert await found(await met(catalog)) == ["b#0"]


async def _forget_everything(truth: Collection) -> None:
    def write(connection: sqlite3.Connection) -> Change[None]:
        connection.execute("DELETE FROM deletions")
        connection.execute("UPDATE history SET forgotten = last")
        return Change(None)

    await truth._write(write)


async def test_what_has_expired_is_no_row_that_counts(
    catalog: MilvusCatalog, collection: MilvusCollection
) -> None:
    await collection.upsert([document_of("a", 1), document_of("over", 2, expires_at=PAST)])
    assert await found(collection) == ["a#0"]


async def test_a_write_whose_caller_left_is_found_soon(
    catalog: MilvusCatalog, collection: MilvusCollection
) -> None:
    task = asyncio.create_task(collection.upsert([document_of("a", 1)]))
    while not await collection.truth.revisions(["a"]):
        pass
    task.cancel()
    while "1:a#0" not in await rows(catalog, collection):
        pass
