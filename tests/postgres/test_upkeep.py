"""What is done in the database when nobody waits: what has expired is deleted, what is old forgotten."""

from pathlib import Path

import pytest
from store_samples import FUTURE, PAST, document_of

from index.errors import HistoryLost
from index.postgres import upkeep
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database
from index.rows import Once

Both = tuple[PostgresCollection, PostgresCollection]


async def test_what_has_expired_is_deleted_and_told(database: Database, both: Both) -> None:
    store = both[0]
    await store.upsert([document_of("here", 1, expires_at=FUTURE)])
    await store.upsert([document_of(f"over{n}", n, expires_at=PAST) for n in range(5)])
    moment = (await store.changes(0, 99)).until
    await upkeep.keep(database, store)
    assert await database.value(f"SELECT count(*) FROM {store.tables.documents}") == 1
    assert await database.value(f"SELECT count(*) FROM {store.tables.passages}") == 1
    assert set((await store.changes(moment, 99)).deleted) == {f"over{n}" for n in range(5)}


async def test_more_than_one_batch_of_expired_documents_goes(database: Database, both: Both) -> None:
    await both[0].upsert([document_of(f"{n}", expires_at=PAST) for n in range(1_100)])
    await upkeep.keep(database, both[0])
    assert await database.value(f"SELECT count(*) FROM {both[0].tables.documents}") == 0


async def test_old_deletions_are_forgotten_and_whoever_missed_them_begins_again(
    database: Database, both: Both
) -> None:
    store = both[0]
    await store.upsert([document_of("a", 1), document_of("b", 2), document_of("c", 3)])
    moment = (await store.changes(0, 99)).until
    await store.delete(["a", "b"])
    await database.execute("UPDATE deletions SET deleted_at = deleted_at - interval '8 days'")
    await store.delete(["c"])
    await upkeep.keep(database, store)
    for before in (0, moment):
        with pytest.raises(HistoryLost):
            await store.changes(before, 99)
    assert (await store.changes(moment + 2, 99)).deleted == ("c",)
    assert (await store.changes(0, 0)).until == moment + 3


async def test_old_keys_do_not_count_and_are_forgotten(database: Database, both: Both) -> None:
    store, once = both[0], Once("key", b"x")
    await store.upsert([document_of("a", 1)], once=once)
    await upkeep.keep(database, store)
    assert await database.value("SELECT count(*) FROM idempotency") == 1
    await database.execute("UPDATE idempotency SET created_at = created_at - interval '25 hours'")
    assert await store.remembered(Once("key", b"another")) is None
    await upkeep.keep(database, store)
    assert await database.value("SELECT count(*) FROM idempotency") == 0


async def test_old_files_that_no_job_waits_for_are_forgotten(
    database: Database, both: Both, tmp_path: Path
) -> None:
    store = both[0]
    (tmp_path / "file").write_bytes(b"content")
    for job in ("waiting", "never kept"):
        await store.uploads.keep(job, {0: tmp_path / "file"})
    await store.add_job("waiting", [b"x"])
    await upkeep.keep(database, store)
    assert await database.value("SELECT count(*) FROM uploads") == 2
    await database.execute("UPDATE uploads SET created_at = created_at - interval '2 hours'")
    await upkeep.keep(database, store)
    assert [row[0] for row in await database.fetch("SELECT job FROM uploads")] == ["waiting"]
