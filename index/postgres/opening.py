"""What has to hold of a server before anything is kept in it, and the databases that it is then."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg

from index.errors import DatabaseUnusable
from index.postgres.address import Address, parse_address
from index.postgres.database import CONNECT_S, Connection, Database, open_pool, session_settings
from index.postgres.failures import DATABASE_ERRORS, translate
from index.postgres.migrations import Steps, migrate

CONNECTIONS: Final = 16
_CLOSE_S: Final = 2.0
OLDEST_SERVER: Final = 14
OLDEST_PGVECTOR: Final = (0, 8)
_EXTENSION: Final = (
    "SELECT n.nspname, e.extversion FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace"
    " WHERE e.extname = 'vector'"
)


@asynccontextmanager
async def open_database(
    url: str, parts: Mapping[str, Steps] | None = None, *, connections: int = CONNECTIONS
) -> AsyncIterator[Database]:
    """The database at ``url``, with the tables of the collections and of other ``parts`` in it.

    Raises:
        DatabaseUnusable: the URL is none, or what it leads to cannot be used.
        DataTooNew: a newer version of this program was there.
        StorageFailed: the server cannot be reached (StoreUnavailable), or refuses.
    """
    address = parse_address(url)
    vector_schema = await _made_ready(address, parts or {})
    async with open_pool(address, vector_schema, connections) as database:
        yield database


@asynccontextmanager
async def open_replica(
    url: str, primary: Database, *, connections: int = CONNECTIONS
) -> AsyncIterator[Database]:
    """A read replica of ``primary``, which may be away now.

    Raises:
        DatabaseUnusable: the URL is none.
    """
    address = parse_address(url)
    schema = await primary.value(f"SELECT nspname FROM ({_EXTENSION}) AS e")  # noqa: S608
    async with open_pool(
        Address(address.url, address.shown, primary.address.schema), schema, connections
    ) as it:
        yield it


async def _made_ready(address: Address, parts: Mapping[str, Steps]) -> str:
    """The schema that pgvector is in."""
    try:
        connection = await asyncpg.connect(
            address.url, timeout=CONNECT_S, server_settings=session_settings(address.schema, "public")
        )
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise DatabaseUnusable(f"{address} does not let this user in: {error}") from error
    except asyncpg.InvalidCatalogNameError as error:
        raise DatabaseUnusable(f"{address} names a database that is not there: {error}") from error
    except (*DATABASE_ERRORS, ValueError) as error:
        raise translate(error, str(address)) from error
    try:
        await _check_server(connection, address)
        vector_schema = await _pgvector(connection, address)
        await connection.execute(
            "SELECT set_config('search_path', $1, false)", f'"{address.schema}", "{vector_schema}"'
        )
        await migrate(connection, address.schema, parts)
    except DATABASE_ERRORS as error:
        raise translate(error, str(address)) from error
    finally:
        with suppress(*DATABASE_ERRORS):
            await connection.close(timeout=_CLOSE_S)
    return vector_schema


async def _check_server(connection: Connection, address: Address) -> None:
    major = connection.get_server_version().major
    if major < OLDEST_SERVER:
        raise DatabaseUnusable(f"{address} is PostgreSQL {major}: it takes {OLDEST_SERVER} or newer")
    encoding, standby = await connection.fetchrow(
        "SELECT current_setting('server_encoding'), pg_is_in_recovery()"
    ) or ("", False)
    if encoding != "UTF8":
        raise DatabaseUnusable(f"{address} keeps texts as {encoding}: make the database with ENCODING 'UTF8'")
    if standby:
        raise DatabaseUnusable(f"{address} is a standby, which takes no writes: name the primary server")


async def _pgvector(connection: Connection, address: Address) -> str:
    found = await connection.fetchrow(_EXTENSION)
    if found is None:
        await _add_pgvector(connection, address)
        found = await connection.fetchrow(_EXTENSION)
    assert found is not None
    schema, version = str(found[0]), str(found[1])
    if tuple(map(int, version.split(".")[:2])) < OLDEST_PGVECTOR:
        wanted = ".".join(map(str, OLDEST_PGVECTOR))
        raise DatabaseUnusable(
            f"{address} has pgvector {version}: it takes {wanted} or newer; ALTER EXTENSION vector UPDATE"
        )
    return schema


async def _add_pgvector(connection: Connection, address: Address) -> None:
    try:
        # Where every schema of the database finds it, not in that of one service. Others may be adding it.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('embedd'), hashtext('vector'))")
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public")
    except (asyncpg.UndefinedFileError, asyncpg.FeatureNotSupportedError) as error:
        raise DatabaseUnusable(f"{address} has no pgvector: install it on the server") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseUnusable(
            f"{address} has pgvector, and this user may not add it: have an administrator say"
            " CREATE EXTENSION vector in this database"
        ) from error
