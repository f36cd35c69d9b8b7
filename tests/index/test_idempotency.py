"""Writes that come once, however often they are sent."""

import asyncio
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from index import expiry, idempotency
from index.catalog import open_catalog
from index.codec import timestamp
from index.collection import Collection
from index.errors import KeyReused, VersionConflict
from index.filters import parse_filter
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, DocumentPatch, Once
from index.writer import Change

Make = Callable[..., Document]
Write = Callable[[Collection, Once], Awaitable[Any]]

ONCE = Once("key", b"fingerprint")
WRITES: dict[str, Write] = {
    "patch": lambda c, once: c.patch("a", DocumentPatch({"n": 1}, "New"), {1}, once),
    "delete": lambda c, once: c.delete(["a", "nobody"], once=once),
    "delete for a version": lambda c, once: c.delete(["a"], {1}, once),
    "delete matching": lambda c, once: c.delete_matching(parse_filter({"lang": "en"}), once),
    "add a job": lambda c, once: c.add_job(uuid.uuid4().hex, [b"x"], once),
}


async def state(collection: Collection) -> list[Any]:
    documents = await collection.documents(10)
    return [documents, await collection.unfinished_jobs(), (await collection.scroll(10))[0]]


async def filled(collection: Collection, make_document: Make) -> Collection:
    await collection.upsert(
        [make_document("a", 1, 2, metadata={"lang": "en"}), make_document("b", 3, acl=("me",))]
    )
    return collection


@pytest.mark.parametrize("name", WRITES)
async def test_the_same_write_again_gives_the_same_and_changes_nothing(
    collection: Collection, make_document: Make, name: str
) -> None:
    await filled(collection, make_document)
    first = await WRITES[name](collection, ONCE)
    after = await state(collection)
    assert await WRITES[name](collection, ONCE) == first
    assert await state(collection) == after
    assert first is not None


@pytest.mark.parametrize("name", WRITES)
async def test_of_many_at_once_one_is_carried_out(
    collection: Collection, make_document: Make, name: str
) -> None:
    await filled(collection, make_document)
    answers = await asyncio.gather(*(WRITES[name](collection, ONCE) for _ in range(8)))
    assert all(answer == answers[0] for answer in answers)


async def test_documents_are_written_once(collection: Collection, make_document: Make) -> None:
    for seed in (1, 2, 3):
        await collection.upsert([make_document("a", seed)], once=ONCE)
    document = await collection.document("a", with_text=True)
    assert (document.version, document.text) == (1, "word1")


async def test_a_key_that_came_with_another_write_is_refused(
    collection: Collection, make_document: Make
) -> None:
    await filled(collection, make_document)
    await collection.delete(["b"], once=ONCE)
    other = Once("key", b"another")
    with pytest.raises(KeyReused, match="'key' came with another request"):
        await collection.delete(["a"], once=other)
    with pytest.raises(KeyReused):
        await collection.remembered(other)
    assert [d.id for d in await collection.documents(10)] == ["a"]


async def test_a_write_that_failed_leaves_its_key_free(collection: Collection, make_document: Make) -> None:
    await filled(collection, make_document)
    with pytest.raises(VersionConflict):
        await collection.delete(["a"], {7}, ONCE)
    assert await collection.patch("nobody", DocumentPatch({"n": 1}), once=ONCE) is None
    assert await collection.remembered(ONCE) is None
    assert await collection.delete(["a"], {1}, ONCE) == 1
    assert await collection.remembered(ONCE) == 1


async def test_a_job_that_was_kept_gives_its_id_again(collection: Collection) -> None:
    assert await collection.add_job("first", [b"x"], ONCE) == "first"
    assert await collection.add_job("second", [b"x"], ONCE) == "first"
    assert await collection.unfinished_jobs() == ["first"]


async def test_keys_outlive_a_restart(tmp_path: Path, tuning: GraphTuning, make_document: Make) -> None:
    answers = []
    for _ in range(2):
        async with open_catalog(tmp_path, tuning) as catalog:
            collection, _ = await catalog.create(CollectionSettings("notes", 8))
            await collection.upsert([make_document("a", 1)], once=ONCE)
            patch = DocumentPatch({"ü": [1, None, {"x": 2**60}]}, expires_at="2999-01-01T00:00:00.000Z")
            answers.append(await collection.patch("a", patch, once=Once("other", b"")))
    assert answers[0] == answers[1]
    assert answers[0].version == 2


async def test_keys_are_kept_for_a_day_and_then_forgotten(
    collection: Collection, make_document: Make
) -> None:
    connection = collection._writer._connection
    await collection.upsert([make_document("a", 1)], once=ONCE)
    for age, version in ((timedelta(hours=23, minutes=59), 1), (timedelta(hours=24), 2)):
        moment = timestamp(datetime.now(UTC) - age)
        connection.execute("UPDATE idempotency SET created_at = ?", (moment,))
        await collection.upsert([make_document("a", 1)], once=ONCE)
        assert (await collection.document("a")).version == version
    connection.execute("UPDATE idempotency SET created_at = ?", (moment,))
    assert await collection.remembered(ONCE) is None
    await collection.delete([], once=Once("new", b""))
    assert connection.execute("SELECT key FROM idempotency").fetchall() == [("new",)]


async def test_old_keys_go_when_no_write_brings_a_new_one(
    tmp_path: Path, tuning: GraphTuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "_FIRST_FORGET_S", 0)
    monkeypatch.setattr(expiry, "_FORGET_EVERY_S", 0.05)
    old = [(f"old{n}", "2001-01-01T00:00:00.000Z") for n in range(2 * idempotency.FORGOTTEN_AT_ONCE + 1)]

    def keep(connection: sqlite3.Connection) -> Change[None]:
        insert = "INSERT OR REPLACE INTO idempotency VALUES (?, x'', '', ?)"
        connection.executemany(insert, [*old, ("new", timestamp())])
        return Change(None)

    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 8))
        for _ in range(2):
            await collection._writer.submit(keep)
            while True:
                if await collection._readers.rows("SELECT key FROM idempotency") == [("new",)]:
                    break
                await asyncio.sleep(0.005)
