"""Read replicas that are cut off without a word: searches go on at the primary."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cutting_proxy import CuttingProxy
from postgres_server import PostgresServer
from store_samples import document_of, ids_of, settings_of, vector_of
from waiting import until

from index.postgres import replica
from index.postgres.catalog import PostgresCatalog, open_postgres_catalog
from index.postgres.database import Database
from index.postgres.opening import CONNECTIONS
from index.postgres.readers import Replicated
from index.rows import Query

ANY = Query(9, vector=vector_of(1))


@pytest.fixture
async def reading(
    proxy: CuttingProxy,
    postgres: PostgresServer,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[PostgresCatalog]:
    """A catalog whose only replica is behind the proxy, and is the primary itself."""
    monkeypatch.setattr(replica, "_ASKED_EVERY_S", 0.1)
    monkeypatch.setattr(replica, "_SILENT_S", 1.0)
    url = postgres.url.replace(f":{postgres.port}/", f":{proxy.port}/")
    async with open_postgres_catalog(database, tmp_path, [url]) as catalog:
        yield catalog


async def _be_asked(_: Any) -> None:
    pytest.fail("it was asked before it answered again")


async def test_searches_wait_for_a_silent_replica_for_moments_only_and_come_back_to_it(
    reading: PostgresCatalog, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = await reading.create(settings_of())
    await store.upsert([document_of("a", 1)])
    assert ids_of(await store.search(ANY)) == ["a#0"]
    assert isinstance(reading._stale, Replicated)
    [there] = reading._stale._replicas
    proxy.passes.clear()
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*(store.search(ANY) for _ in range(2 * CONNECTIONS)))
    assert [ids_of(answer) for answer in answers] == [["a#0"]] * len(answers)
    assert not there.is_there
    with monkeypatch.context() as watched:
        watched.setattr(there, "read", _be_asked)
        assert ids_of(await store.search(ANY)) == ["a#0"]
    proxy.passes.set()

    async def is_back() -> bool:
        return there.is_there

    await until(is_back)
    assert ids_of(await store.search(ANY)) == ["a#0"]
    assert there.is_there
