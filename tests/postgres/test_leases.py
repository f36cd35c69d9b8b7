"""Jobs of services that share them: each is worked on by one, and goes to another when that one is gone."""

import asyncio

import pytest
from store_samples import document_of, settings_of

from index.errors import JobNotHeld
from index.postgres.catalog import PostgresCatalog
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database
from index.postgres.leases import PostgresLeases
from index.rows import Receipt

Catalogs = tuple[PostgresCatalog, PostgresCatalog]
Both = tuple[PostgresCollection, PostgresCollection]


async def test_each_job_is_claimed_by_one_of_many(catalogs: Catalogs) -> None:
    stores = [(await catalogs[0].create(settings_of(f"c{n}")))[0] for n in range(6)]
    for n, store in enumerate(stores):
        await store.add_job(f"job{n}", [b"x"])
    claimed = await asyncio.gather(*(catalogs[n % 2].leases.claim() for n in range(12)))
    assert sorted(job for job in claimed if job) == [f"job{n}" for n in range(6)]
    assert claimed.count(None) == 6


async def test_of_a_collection_the_oldest_job_comes_first_and_alone(catalogs: Catalogs, both: Both) -> None:
    for name in ("first", "second"):
        await both[0].add_job(name, [b"x"])
    one, other = (catalog.leases for catalog in catalogs)
    assert [await one.claim(), await other.claim()] == ["first", None]
    await both[0].settle([Receipt("first", 0, {})])
    assert await other.claim() == "second"


async def test_a_job_that_is_let_go_is_anybodys_behind_those_that_wait(catalogs: Catalogs) -> None:
    for name in ("a", "b"):
        await (await catalogs[0].create(settings_of(name)))[0].add_job(name, [b"x"])
    one, other = (catalog.leases for catalog in catalogs)
    assert await one.claim() == "a"
    await other.release("a", 0.0)  # not its own
    await one.release("a", 0.0)
    assert [await other.claim(), await other.claim(), await other.claim()] == ["b", "a", None]


async def test_a_job_that_is_let_go_for_a_while_is_nobodys(catalogs: Catalogs, both: Both) -> None:
    await both[0].add_job("job", [b"x"])
    assert await catalogs[0].leases.claim() == "job"
    await catalogs[0].leases.release("job", 1000.0)
    assert [await catalog.leases.claim() for catalog in catalogs] == [None, None]


async def test_a_lease_that_is_over_is_taken_by_another_and_the_first_hears_of_it(
    database: Database, catalogs: Catalogs, both: Both
) -> None:
    await both[0].add_job("job", [b"x", b"y"])
    assert await catalogs[0].leases.claim() == "job"
    assert await catalogs[0].leases.renew(["job", "none", "\ud800"]) == {"job"}
    assert await catalogs[1].leases.claim() is None
    await database.execute("UPDATE jobs SET lease_until = clock_timestamp()")
    assert await catalogs[1].leases.claim() == "job"
    assert await catalogs[0].leases.renew(["job"]) == frozenset()
    receipts = [Receipt("job", 0, {})]
    with pytest.raises(JobNotHeld):
        await both[0].upsert([document_of("late", 1)], receipts)
    with pytest.raises(JobNotHeld):
        await both[0].settle(receipts)
    assert await both[0].document("late") is None
    await both[1].upsert([document_of("there", 1)], receipts)
    assert await both[0].job_results("job") == [{}, None]


async def test_nothing_more_is_written_for_a_job_that_another_has_cancelled(
    catalogs: Catalogs, both: Both
) -> None:
    await both[0].add_job("job", [b"x"])
    assert await catalogs[0].leases.claim() == "job"
    await both[1].cancel_job("job")
    with pytest.raises(JobNotHeld):
        await both[0].upsert([document_of("late", 1)], [Receipt("job", 0, {})])
    assert await catalogs[0].leases.renew(["job"]) == frozenset()
    assert await both[1].documents(9) == []


async def test_a_short_lease_ends_by_the_servers_clock(database: Database, both: Both) -> None:
    await both[0].add_job("job", [b"x"])
    assert await PostgresLeases(database, "gone", 0.0).claim() == "job"
    assert await PostgresLeases(database, "next", 30.0).claim() == "job"
