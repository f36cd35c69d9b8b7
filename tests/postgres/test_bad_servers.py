"""Databases that cannot be used: each is refused at the start in plain words, and nothing is touched."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from postgres_server import PostgresServer

from index.errors import DatabaseUnusable, DataTooNew, StoreError, StoreUnavailable
from index.postgres.opening import open_database


@asynccontextmanager
async def database_of(postgres: PostgresServer, options: str = "") -> AsyncIterator[str]:
    """The URL of a fresh database."""
    name = f"db_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        yield f"{postgres.url.rpartition('/')[0]}/{name}"
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


async def refused(url: str, error: type[StoreError]) -> str:
    with pytest.raises(error) as caught:
        async with open_database(url):
            pytest.fail("it was opened")
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


async def said(url: str, sql: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url.partition("?")[0])
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    text = await refused("postgresql://me:s3cret@127.0.0.1:1/db", StoreUnavailable)
    assert "postgresql://me@127.0.0.1:1/db cannot be reached" in text


async def test_a_host_that_is_none_is_unavailable() -> None:
    await refused("postgresql://me:s3cret@no.such.host.invalid/db", StoreUnavailable)


async def test_a_database_that_is_not_there_is_named(postgres: PostgresServer) -> None:
    assert "nowhere" in await refused(postgres.url.replace("/postgres", "/nowhere"), DatabaseUnusable)


async def test_a_user_that_is_not_let_in_is_told(postgres: PostgresServer) -> None:
    assert "nobody" in await refused(postgres.url.replace("embedd@", "nobody:s3cret@"), DatabaseUnusable)


async def test_tables_of_something_else_are_left_alone(postgres: PostgresServer) -> None:
    schema = f"foreign_{uuid.uuid4().hex}"
    url = f"{postgres.url}?schema={schema}"
    await said(url, f"CREATE SCHEMA {schema}")
    await said(url, f"CREATE TABLE {schema}.documents (id text)")
    assert "?schema=" in await refused(url, DatabaseUnusable)
    tables = await said(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'")
    assert [row[0] for row in tables] == ["documents"]


async def test_a_schema_that_is_there_and_empty_is_taken(postgres_url: str) -> None:
    await said(postgres_url, f"CREATE SCHEMA {postgres_url.partition('schema=')[2]}")
    async with open_database(postgres_url) as database:
        assert await database.value("SELECT number FROM version") > 0


async def test_data_of_a_newer_version_is_left_alone(postgres_url: str) -> None:
    async with open_database(postgres_url) as database:
        await database.execute("UPDATE version SET number = number + 1")
    await refused(postgres_url, DataTooNew)
    async with open_database(f"{postgres_url}x") as other:
        schema = postgres_url.partition("schema=")[2]
        found = await other.value(f"SELECT number FROM {schema}.version")
        assert found == await other.value("SELECT number FROM version") + 1


async def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer) -> None:
    async with database_of(postgres, "ENCODING 'LATIN1' LOCALE 'C'") as url:
        assert "LATIN1" in await refused(url, DatabaseUnusable)


async def test_a_user_who_may_not_add_pgvector_is_told_who_may(postgres: PostgresServer) -> None:
    async with database_of(postgres) as url:
        role = f"role_{uuid.uuid4().hex}"
        await said(url, f"CREATE ROLE {role} LOGIN")
        try:
            text = await refused(url.replace("embedd@", f"{role}:s3cret@"), DatabaseUnusable)
            assert "CREATE EXTENSION vector" in text
        finally:
            await said(url, f"DROP ROLE {role}")


async def test_pgvector_may_be_in_any_schema(postgres: PostgresServer) -> None:
    async with database_of(postgres) as url:
        await said(url, "CREATE SCHEMA extensions")
        await said(url, "CREATE EXTENSION vector SCHEMA extensions")
        async with open_database(url) as database:
            assert await database.value("SELECT '[1,2]'::vector <-> '[1,2]'::vector") == 0


async def test_many_services_may_begin_at_once(postgres_url: str) -> None:

    async def begin() -> int:
        async with open_database(postgres_url) as database:
            return int(await database.value("SELECT number FROM version"))

    assert len(set(await asyncio.gather(*(begin() for _ in range(5))))) == 1


async def test_parts_count_their_own_steps(postgres_url: str) -> None:
    first = ("CREATE TABLE things (id text)", "INSERT INTO things VALUES ('first')")
    steps = [first, (), ("INSERT INTO things VALUES ('third')",)]
    for _ in range(2):
        async with open_database(postgres_url, {"things": steps[:1]}) as database:
            assert [row[0] for row in await database.fetch("SELECT id FROM things")] == ["first"]
    async with open_database(postgres_url, {"things": steps}) as database:
        assert [row[0] for row in await database.fetch("SELECT id FROM things")] == ["first", "third"]
    await refused_parts(postgres_url, steps[:2])


async def refused_parts(url: str, steps: list[tuple[str, ...]]) -> None:
    with pytest.raises(DataTooNew):
        async with open_database(url, {"things": steps}):
            pytest.fail("it was opened")
