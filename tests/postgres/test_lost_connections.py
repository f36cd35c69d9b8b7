"""Connections and servers that go away: typed errors, never half a write, and on again when they are back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from cutting_proxy import Cut, CuttingProxy
from postgres_server import PostgresServer, postgres_server
from postgres_services import service
from store_samples import document_of, everything_of, settings_of
from waiting import until

from index.errors import OutcomeUnknown, StoreUnavailable, VersionConflict
from index.postgres import catalog as catalogs
from index.postgres import database as databases
from index.postgres import notices, writer
from index.postgres.catalog import PostgresCatalog
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database
from index.postgres.opening import open_database
from index.rows import Once

Both = tuple[PostgresCollection, PostgresCollection]


async def ended(postgres: PostgresServer, condition: str) -> int:
    """How many connections of services were ended for which it holds."""
    return await counted(postgres, "pg_terminate_backend(pid)", condition)


async def counted(postgres: PostgresServer, what: str, condition: str) -> int:
    connection = await asyncpg.connect(postgres.url)
    try:
        sql = f"SELECT count({what}) FROM pg_stat_activity WHERE {condition}"
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


async def test_a_read_whose_connection_was_ended_is_made_on_another(
    postgres: PostgresServer, both: Both
) -> None:
    await both[0].upsert([document_of("a", 1)])
    for _ in range(5):
        assert await ended(postgres, "application_name = 'embedd'") > 0
        assert await both[0].document("a") is not None


async def test_a_write_whose_connection_is_ended_leaves_nothing(
    postgres: PostgresServer, both: Both, database: Database
) -> None:
    await both[0].upsert([document_of("a", 1)])
    before = await everything_of(both[0])
    async with database.transaction() as connection:
        await connection.execute("SELECT 1 FROM collections FOR UPDATE")
        writes = [
            asyncio.create_task(collection.upsert([document_of("a", 2), document_of(f"new{n}", n)]))
            for n, collection in enumerate(both)
        ]

        waiting = "wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%'"

        async def wait_for_the_row() -> bool:
            return await counted(postgres, "pid", waiting) == 2

        await until(wait_for_the_row)
        assert await ended(postgres, waiting) == 2
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
    assert await everything_of(both[1]) == before
    await both[0].upsert([document_of("new", 3)])
    assert await both[1].document("new") is not None


async def test_a_service_that_falls_silent_in_a_write_holds_up_the_others_for_a_while_only(
    postgres_url: str, both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_database(postgres_url) as usual, usual.connection() as connection:
        limits = [await connection.fetchval(f"SHOW {name}") for name in databases._ABANDONED]
        assert limits == ["1min", "30", "10", "3", "60000"]
    monkeypatch.setitem(databases._ABANDONED, "idle_in_transaction_session_timeout", "500ms")

    async def begin_and_say_nothing_more() -> None:
        async with open_database(postgres_url) as silent, silent.transaction() as connection:
            await connection.execute("SELECT 1 FROM collections FOR UPDATE")
            await both[0].upsert([document_of("a", 1)])

    with pytest.raises(StoreUnavailable):
        await begin_and_say_nothing_more()
    assert await both[1].document("a") is not None


async def test_connections_ended_at_any_time_leave_whole_writes(postgres: PostgresServer, both: Both) -> None:
    """What was acknowledged is there, and of no write a part."""

    async def write(n: int) -> bool:
        try:
            await both[n % 2].upsert([document_of(f"{n}/{part}", part) for part in range(5)])
        except StoreUnavailable:
            return False
        return True

    async def end_them() -> None:
        for _ in range(10):
            await ended(postgres, "application_name = 'embedd' AND state <> 'idle'")
            await asyncio.sleep(0)

    *written, _ = await asyncio.gather(*(write(n) for n in range(40)), end_them())
    ids = [document.id for document in await both[0].documents(999)]
    acknowledged = {f"{n}/{part}" for n, is_written in enumerate(written) if is_written for part in range(5)}
    assert set(ids) == acknowledged


@pytest.fixture
async def beyond(
    proxy: CuttingProxy, postgres_url: str, postgres: PostgresServer, tmp_path: Path
) -> AsyncIterator[PostgresCollection]:
    """A collection whose server is behind the proxy."""
    url = postgres_url.replace(f":{postgres.port}/", f":{proxy.port}/")
    async with service(url, tmp_path) as (_, catalog):
        yield (await catalog.create(settings_of()))[0]


async def test_a_write_that_was_committed_unheard_is_done(
    beyond: PostgresCollection, proxy: CuttingProxy
) -> None:
    proxy.cut = Cut.BEHIND
    await beyond.upsert([document_of("a", 1)])
    assert proxy.cut is Cut.NEVER
    assert (await beyond.revisions(["a"]))["a"].version == 1


async def test_a_write_whose_commit_never_came_is_not(
    beyond: PostgresCollection, proxy: CuttingProxy
) -> None:
    proxy.cut = Cut.BEFORE
    with pytest.raises(StoreUnavailable) as caught:
        await beyond.upsert([document_of("a", 1)])
    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.retry_after_s > 0
    assert await beyond.document("a") is None


async def test_where_nobody_can_tell_it_is_said_and_the_key_decides(
    beyond: PostgresCollection, proxy: CuttingProxy
) -> None:
    once = Once("key", b"x")
    proxy.cut, proxy.stays_down = Cut.BEHIND, True
    with pytest.raises(OutcomeUnknown):
        await beyond.upsert([document_of("a", 1)], once=once)
    with pytest.raises(StoreUnavailable):
        await beyond.document("a")
    proxy.is_down = False
    await beyond.upsert([document_of("a", 1)], once=once)
    assert (await beyond.revisions(["a"]))["a"].version == 1


async def test_a_server_that_takes_no_writes_is_unavailable_for_them(
    postgres_url: str, tmp_path: Path
) -> None:
    async with service(postgres_url, tmp_path) as (database, catalog):
        store = (await catalog.create(settings_of()))[0]
        await store.upsert([document_of("a", 1)])
        async with database.connection() as connection:
            await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="takes no writes"):
            await store.upsert([document_of("b", 1)])
        assert [document.id for document in await store.documents(9)] == ["a"]
        async with database.connection() as connection:
            await connection.execute("SET default_transaction_read_only = off")


async def test_a_server_that_starts_again_is_used_again(tmp_path: Path) -> None:
    with postgres_server() as server:
        url = f"{server.url}?schema=here"
        async with service(url, tmp_path / "one") as (_, one), service(url, tmp_path / "two") as (_, two):
            store = (await one.create(settings_of()))[0]
            await store.upsert([document_of("a", 1)])
            server.stop()
            for call in (store.document("a"), store.upsert([document_of("b", 1)]), two.get("other")):
                with pytest.raises(StoreUnavailable):
                    await call
            server.start()
            await store.upsert([document_of("b", 1)])
            with pytest.raises(VersionConflict):
                await store.upsert([document_of("a", 2, if_version=7)])
            await _is_heard(one, two)


async def _is_heard(one: PostgresCatalog, two: PostgresCatalog) -> None:
    """They hear of each other again."""
    await one.create(settings_of("later"))

    async def has_heard() -> bool:
        return "later" in two.names()

    await until(has_heard)


async def test_nobody_waits_for_long_for_a_server_that_falls_silent(
    postgres: PostgresServer,
    database: Database,
    proxy: CuttingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are: one behind the other they would wait for minutes each."""
    monkeypatch.setattr(notices, "_ASKED_EVERY_S", 0.2)
    monkeypatch.setattr(notices, "_ANSWERED_S", 1.0)
    monkeypatch.setattr(databases, "_ACQUIRE_S", 1.0)
    monkeypatch.setattr(writer, "_PATIENT_S", 0.1)
    url = database.address.url.replace(f":{postgres.port}/", f":{proxy.port}/")
    async with service(url, tmp_path / "one") as (_, catalog):
        store, _ = await catalog.create(settings_of())
        await store.upsert([document_of("a", 1)])

        async def is_heard() -> bool:
            return catalog._listener.is_listening

        async def is_silent() -> bool:
            return not catalog._listener.is_listening

        await until(is_heard)
        proxy.passes.clear()
        async with asyncio.timeout(30):
            outcomes = await asyncio.gather(
                *(store.upsert([document_of(f"new{n}", n)]) for n in range(40)),
                *(store.document("a") for _ in range(40)),
                return_exceptions=True,
            )
            await until(is_silent)
            monkeypatch.setattr(catalogs, "_OLD_S", -1.0)
            outcomes += await asyncio.gather(
                *(catalog.get("notes") for _ in range(40)), return_exceptions=True
            )
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        proxy.passes.set()

        async def is_back() -> bool:
            with suppress(StoreUnavailable):
                await store.upsert([document_of("b", 2)])
                return True
            return False

        await until(is_back)
        assert {one.id for one in await store.documents(10)} == {"a", "b"}
