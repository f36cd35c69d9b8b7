"""Documents that expire: gone from every read at once, from memory and from the file soon after."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from index import document_patch
from index import expiry as expiry_module
from index.catalog import open_catalog
from index.codec import timestamp
from index.collection import Collection
from index.errors import VersionConflict
from index.expiry import delete_expired
from index.filters import parse_filter
from index.growth import GraphTuning
from index.readers import Readers
from index.rows import CollectionSettings, Document, DocumentPatch, Query
from index.writer import Change

Make = Callable[..., Document]
MakeVector = Callable[[int], np.ndarray]

PAST = "2001-01-01T00:00:00.000Z"
FAR = "2999-01-01T00:00:00.000Z"


def soon(seconds: float = 0.3) -> str:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


async def until(moment: str) -> None:
    while True:
        if timestamp() >= moment:
            return
        await asyncio.sleep(0.005)


async def until_deleted(collection: Collection, rows: int) -> None:
    """Until so many passages are left in the file, expired ones included."""
    while True:
        if await collection._readers.rows("SELECT count(*) FROM passages") == [(rows,)]:
            return
        await asyncio.sleep(0.005)


class Held:
    """Keeps the writer's thread busy, so that nothing is deleted meanwhile."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._entered, self._open = threading.Event(), threading.Event()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._collection._writer.submit(self._wait))
        await asyncio.to_thread(self._entered.wait, 30)

    def _wait(self, _connection: sqlite3.Connection) -> Change[None]:
        self._entered.set()
        assert self._open.wait(30)
        return Change(None)

    async def __aexit__(self, *_: object) -> None:
        self._open.set()
        await self._task


async def everything_that_reads(collection: Collection, vector: np.ndarray) -> list[set[str]]:
    """The ids of documents that each way of reading gives."""
    condition = parse_filter({"lang": "en"})
    searches = [
        Query(10, vector=vector),
        Query(10, vector=vector, exact=True),
        Query(10, vector=vector, filter=condition),
        Query(10, text="word1"),
        Query(10, text="word1", filter=condition),
        Query(10, vector=vector, text="word1"),
        Query(10, vector=vector, text="word1", filter=condition),
        Query(10, vector=vector, group_by="document"),
    ]
    found = [{hit.document_id for hit in (await collection.search(query)).hits} for query in searches]
    found.append({d.id for d in await collection.documents(10)})
    found.append({i for i in ("a", "b") if await collection.document(i) is not None})
    found.append(set(await collection.revisions(["a", "b"])))
    found.append({p.document_id for p in await collection.points(["a#0", "b#0"])})
    found.append({p.document_id for p in (await collection.scroll(10))[0]})
    found.append({p.document_id for p in (await collection.scroll(10, condition=condition))[0]})
    found.append({str(v.value) for v in (await collection.facets("document_id", 10)).values})
    found.append({str(v.value) for v in (await collection.facets("id", 10, condition)).values})
    return found


async def how_many(collection: Collection) -> set[int]:
    statistics = await collection.statistics()
    counted = {await collection.count(), await collection.count(parse_filter({"lang": "en"}))}
    return {*counted, statistics.points, statistics.documents}


async def test_from_its_moment_on_no_read_gives_it_even_if_nothing_can_be_deleted(
    collection: Collection, make_document: Make, make_vector: MakeVector
) -> None:
    moment = soon()
    await collection.upsert(
        [
            make_document("a", 1, metadata={"lang": "en", "id": "a"}, expires_at=moment),
            make_document("b", 1, metadata={"lang": "en", "id": "b"}, expires_at=FAR),
        ]
    )
    before = await everything_that_reads(collection, make_vector(1))
    assert timestamp() < moment, "too slow to look before the moment"
    assert all(found == {"a", "b"} for found in before)
    async with Held(collection):
        await until(moment)
        assert all(found == {"b"} for found in await everything_that_reads(collection, make_vector(1)))
        assert await how_many(collection) == {1}
        assert len(await collection._readers.rows("SELECT * FROM documents")) == 2
    await until_deleted(collection, 1)
    assert all(found == {"b"} for found in await everything_that_reads(collection, make_vector(1)))


async def test_it_is_deleted_without_anybody_asking(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1, 2, expires_at=soon()), make_document("b", 3)])
    await until_deleted(collection, 1)
    connection = collection._writer._connection
    connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    assert [d.id for d in await collection.documents(10)] == ["b"]


async def test_searches_stay_complete_when_most_of_a_graph_expires(
    collection: Collection, make_document: Make, make_vector: MakeVector
) -> None:
    moment = soon(1.0)
    gone = [make_document(f"x{n}", n, expires_at=moment) for n in range(80)]
    await collection.upsert(gone + [make_document(f"y{n}", 1000 + n) for n in range(40)])
    await collection.graph_settled()
    async with Held(collection):
        await until(moment)
        for n in range(10):
            result = await collection.search(Query(30, vector=make_vector(n)))
            assert len(result.hits) == 30
            assert all(hit.document_id.startswith("y") for hit in result.hits)
    await until_deleted(collection, 40)


async def test_what_expired_while_nobody_had_it_open_is_neither_found_nor_kept(
    tmp_path: Path, tuning: GraphTuning, make_document: Make, make_vector: MakeVector
) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        moment = soon()
        await collection.upsert([make_document("a", 1, expires_at=moment), make_document("b", 2)])
    await until(moment)
    async with open_catalog(tmp_path, tuning) as catalog:
        collection = await catalog.get("notes")
        assert [h.document_id for h in (await collection.search(Query(2, vector=make_vector(1)))).hits] == [
            "b"
        ]
        await until_deleted(collection, 1)


async def test_large_numbers_are_deleted_in_parts(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_module, "BATCH", 7)
    await collection.upsert([make_document(f"d{n}", n, expires_at=soon()) for n in range(20)])
    before = collection._writer.commits
    await until_deleted(collection, 0)
    await collection.settle([])
    assert collection._writer.commits - before >= 3


async def test_the_id_of_an_expired_document_is_free(collection: Collection, make_document: Make) -> None:
    for _ in range(3):
        await collection.upsert([make_document("a", 1, 2)])
    moment = soon()
    await collection.patch("a", DocumentPatch(expires_at=moment))
    async with Held(collection):
        await until(moment)
        documents = [make_document("a", 3, if_version=4), make_document("a", 4, if_version=0)]
        writes = [asyncio.create_task(collection.upsert([document])) for document in documents]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [VersionConflict, type(None)]
    document = await collection.document("a")
    assert (document.version, document.passages) == (1, 1)


async def test_a_passage_of_an_expired_document_holds_no_id(
    collection: Collection, make_document: Make
) -> None:
    moment = soon()
    await collection.upsert([make_document("a", 1, 2, expires_at=moment)])
    async with Held(collection):
        await until(moment)
        point = asyncio.create_task(collection.upsert([make_document("a#1", 5, is_point=True)]))
        patch = asyncio.create_task(collection.patch("a", DocumentPatch({"n": 1})))
        delete = asyncio.create_task(collection.delete(["a"]))
        await asyncio.sleep(0)
    assert await asyncio.gather(point, patch, delete) == [None, None, 0]
    assert [p.id for p in (await collection.scroll(10))[0]] == ["a#1"]


async def test_a_moment_in_the_past_is_a_delete(
    collection: Collection, make_document: Make, make_vector: MakeVector
) -> None:
    await collection.upsert([make_document("a", 1), make_document("b", 1)])
    await collection.upsert([make_document("a", 1, expires_at=PAST)])
    patched = await collection.patch("b", DocumentPatch(expires_at=PAST))
    assert (patched.id, patched.version) == ("b", 2)
    assert (await collection.search(Query(5, vector=make_vector(1)))).hits == ()
    assert await collection.documents(10) == []
    await until_deleted(collection, 0)


async def test_a_document_can_be_kept_longer_or_for_good(collection: Collection, make_document: Make) -> None:
    moment = soon()
    await collection.upsert([make_document(n, 1, expires_at=moment) for n in "abc"])
    await collection.patch("a", DocumentPatch(expires_at=FAR))
    await collection.patch("b", DocumentPatch(expires_at=None))
    await until(moment)
    await until_deleted(collection, 2)
    assert [d.id for d in await collection.documents(10)] == ["a", "b"]


async def test_a_sooner_moment_is_noticed(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("late", 1, expires_at=FAR)])
    await collection.upsert([make_document("soon", 2, expires_at=soon())])
    await until_deleted(collection, 1)


async def test_what_could_not_be_deleted_is_deleted_later(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry_module, "_RETRY_S", 0.01)
    connection = collection._writer._connection
    moment = soon()
    await collection.upsert([make_document("a", 1, expires_at=moment)])
    connection.execute("PRAGMA query_only = ON")
    await until(moment)
    assert await collection.documents(10) == []
    await asyncio.sleep(0.05)
    assert await collection._readers.rows("SELECT id FROM documents") == [("a",)]
    connection.execute("PRAGMA query_only = OFF")
    await until_deleted(collection, 0)


async def test_only_what_has_expired_is_deleted(collection: Collection, make_document: Make) -> None:
    await collection.upsert([make_document("a", 1, expires_at=FAR), make_document("b", 2)])
    assert await collection._writer.submit(lambda c: delete_expired(c, 10)) == 0
    assert await collection.count() == 2


async def test_a_search_that_is_cancelled_while_it_hides_forgets_no_moment(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document("a", 1)])
    reading, read = asyncio.Event(), Readers.rows

    async def waits_for_ever(*_: object) -> list[tuple[object, ...]]:
        reading.set()
        await asyncio.Event().wait()
        raise AssertionError

    collection._expiry._task.cancel()
    with suppress(asyncio.CancelledError):
        await collection._expiry._task
    moment = soon()
    await collection.upsert([make_document("b", 2, expires_at=moment)])
    await until(moment)
    monkeypatch.setattr(Readers, "rows", waits_for_ever)
    search = asyncio.create_task(collection.search(Query(1, text="word1")))
    await reading.wait()
    search.cancel()
    await asyncio.wait([search])
    monkeypatch.setattr(Readers, "rows", read)
    assert (await collection.statistics()).points == 1


async def test_a_document_that_is_kept_longer_at_the_last_moment_stays_in_memory(
    collection: Collection, make_document: Make, make_vector: MakeVector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its patch has met it, and is committed only after the moment at which it would have gone."""
    met, go_on = threading.Event(), threading.Event()

    def slow_timestamp() -> str:
        met.set()
        assert go_on.wait(30)
        return timestamp()

    moment = soon()
    await collection.upsert([make_document("a", 1, expires_at=moment)])
    monkeypatch.setattr(document_patch, "timestamp", slow_timestamp)
    patch = asyncio.create_task(collection.patch("a", DocumentPatch(expires_at=FAR)))
    assert await asyncio.to_thread(met.wait, 30)
    assert timestamp() < moment, "too slow to patch before the moment"
    await until(moment)
    search = asyncio.create_task(collection.search(Query(1, vector=make_vector(1))))
    await asyncio.wait([search], timeout=0.5)  # as long as it may take to hide it
    go_on.set()
    assert await patch is not None
    await search
    assert [hit.document_id for hit in (await collection.search(Query(1, vector=make_vector(1)))).hits] == [
        "a"
    ]
    assert (await collection.statistics()).points == 1
