"""The three stores that a service may search, each with a server of its own and one collection that is filled
with the same rows; and the bare clients of two of them, which ask the same servers for the same.

A bare client's search is one call with all options set before, as its documentation has it, and searches
as widely as the store does. What that does beyond it (the truth, min(k, matches), snapshots) is its
price. Beside it PostgreSQL is sent the store's own statements by asyncpg alone: what is over these is our
code.
"""

import asyncio
import importlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from harness.grown import Matrix
from harness.options import REPOSITORY
from harness.service import until_at_rest
from harness.vector_rows import EF, ROWS_PER_WRITE, K, id_of, metadata_of, text_of
from index.catalog import open_catalog
from index.growth import GraphTuning
from index.planner import candidates_to_fetch
from index.postgres import vector_index
from index.postgres.catalog import open_postgres_catalog
from index.postgres.graph_shape import distance, graph_shape
from index.postgres.opening import open_database
from index.postgres.vectors import decode_vector, encode_vector
from index.rows import CollectionSettings, Document, Passage, Query
from index.store import Store

EMBEDDED, PGVECTOR, MILVUS = "embedded", "pgvector", "Milvus Lite"
ONE_CALL, SAME_STATEMENTS = "one call", "same statements"
NAME: Final = "rows"
WITHOUT_GRAPH: Final = GraphTuning(threshold=sys.maxsize)
_MILVUS_EF: Final = 64
"""As ``index.milvus.server`` asks."""

Bare = Callable[[Matrix], Awaitable[list[str]]]
"""Asks for what is nearest to a question (dim,): ids, best first."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A collection with all rows; seconds until they were acknowledged, and until the graph had them.

    ``bare`` by name: ways to ask the same server without the store.
    """

    store: Store
    written_s: float
    ready_s: float
    bare: Mapping[str, Bare] = field(default_factory=dict)


def support(module: str) -> Any:
    """One of the tests' own modules: the servers that they start are the ones that are measured."""
    folder = str(REPOSITORY / "tests" / "support")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(module)


@asynccontextmanager
async def open_filled(name: str, folder: Path, vectors: Matrix) -> AsyncIterator[Filled]:
    """The store of that name with these rows (n, dim)."""
    opener = {EMBEDDED: _embedded, PGVECTOR: _pgvector, MILVUS: _milvus}[name]
    async with opener(folder, vectors) as filled:
        yield filled


@asynccontextmanager
async def _embedded(folder: Path, vectors: Matrix) -> AsyncIterator[Filled]:
    async with open_catalog(folder / "data") as catalog:
        collection, _ = await catalog.create(settings_of(vectors))
        began = time.perf_counter()
        written_s = await fill(collection, vectors)
        await collection.graph_settled()
        yield Filled(collection, written_s, time.perf_counter() - began)


@asynccontextmanager
async def _pgvector(folder: Path, vectors: Matrix) -> AsyncIterator[Filled]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(support("postgres_server").postgres_server(durable=True))
        database = await stack.enter_async_context(open_database(server.url))
        catalog = await stack.enter_async_context(open_postgres_catalog(database, folder))
        collection, _ = await catalog.create(settings_of(vectors))
        began = time.perf_counter()
        written_s = await fill(collection, vectors)
        await database.execute(f"ANALYZE {collection.tables.documents}, {collection.tables.passages}")
        await vector_index.keep(database, collection.tables, collection.settings)
        # The store may have begun with it before, on its own.
        while not (await collection.statistics()).graph_points:  # noqa: ASYNC110 - no event comes from there
            await asyncio.sleep(0.1)
        ready_s = time.perf_counter() - began
        connection = await asyncpg.connect(server.url, server_settings={"search_path": "embedd, public"})
        stack.push_async_callback(connection.close)
        one = await _bare_pgvector(connection, collection)
        bare = {ONE_CALL: one, SAME_STATEMENTS: replayed(database, collection)}
        yield Filled(collection, written_s, ready_s, bare)


async def _bare_pgvector(connection: Any, collection: Any) -> Bare:
    """The nearest by the index, scored again by their whole vectors, as pgvector's README says."""
    settings, tables = collection.settings, collection.tables
    shape = graph_shape(settings)
    assert shape is not None
    await connection.set_type_codec(
        "vector", schema="public", encoder=encode_vector, decoder=decode_vector, format="binary"
    )
    await connection.execute(f"SET hnsw.ef_search = {EF}")
    fetched = candidates_to_fetch(K, quantised=shape.halved)
    statement = await connection.prepare(
        "SELECT id, text, title, metadata FROM (SELECT p.id, p.text, p.vector, d.title, d.metadata"
        f" FROM {tables.joined} ORDER BY {shape.distance('$1::vector')} LIMIT {fetched}) AS p"
        f" ORDER BY {distance(settings.metric, '$1::vector')} LIMIT {K}"
    )

    async def ask(question: Matrix) -> list[str]:
        return [row["id"] for row in await statement.fetch(question)]

    return ask


def replayed(database: Any, store: Store) -> Bare:
    """Sends what a search of the store sent for the question, which is searched once before to hear it."""
    said: dict[bytes, list[Any]] = {}

    async def ask(question: Matrix) -> list[str]:
        key = question.tobytes()
        if key not in said:
            said[key] = await _heard(database, store, question)
        async with database.connection() as connection:
            for each in said[key]:
                await (
                    connection.fetch(each.query, *each.args) if each.args else connection.execute(each.query)
                )
        return []

    return ask


async def _heard(database: Any, store: Store, question: Matrix) -> list[Any]:
    """The pool has one connection as long as one search at a time is made."""
    heard: list[Any] = []
    async with database.connection() as connection:
        connection.add_query_logger(heard.append)
    await store.search(Query(K, vector=question))
    async with database.connection() as connection:
        connection.remove_query_logger(heard.append)
    return heard


@asynccontextmanager
async def _milvus(folder: Path, vectors: Matrix) -> AsyncIterator[Filled]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(support("milvus_server").milvus_server(folder))
        below = await stack.enter_async_context(open_catalog(folder / "data", WITHOUT_GRAPH))
        module = importlib.import_module("index.milvus.catalog")
        catalog = await stack.enter_async_context(module.open_milvus_catalog(below, server.url))
        collection, _ = await catalog.create(settings_of(vectors))
        began = time.perf_counter()
        written_s = await fill(collection, vectors)
        await collection.mirror.caught_up()
        client = importlib.import_module("pymilvus").AsyncMilvusClient(uri=server.url, dedicated=True)
        stack.push_async_callback(client.close)
        # A cluster seals and indexes what it holds in memory after a while; Lite would go on reading it row
        # by row for every search.
        await client.flush(collection.mirror.place)
        await until_at_rest(server.pid)
        ready_s = time.perf_counter() - began
        bare = {ONE_CALL: _bare_milvus(client, collection.mirror.place)}
        yield Filled(collection, written_s, ready_s, bare)


def _bare_milvus(client: Any, place: str) -> Bare:
    """Keys alone, as the store asks for them; their content would come with the call if Milvus had it."""
    read_key = importlib.import_module("index.milvus.shape").read_key

    async def ask(question: Matrix) -> list[str]:
        found = await client.search(
            place,
            data=[question],
            anns_field="vector",
            limit=K,
            search_params={"params": {"ef": _MILVUS_EF}},
        )
        return [read_key(hit["key"])[0] for hit in found[0]]

    return ask


def settings_of(vectors: Matrix, name: str = NAME) -> CollectionSettings:
    return CollectionSettings(name, vectors.shape[1])


async def fill(store: Store, vectors: Matrix) -> float:
    """Seconds until all rows were acknowledged, one write at a time."""
    began = time.perf_counter()
    for start in range(0, len(vectors), ROWS_PER_WRITE):
        await store.upsert(points(vectors, start))
    return time.perf_counter() - began


def points(vectors: Matrix, start: int, size: int = ROWS_PER_WRITE) -> list[Document]:
    return [
        Document(
            id_of(row),
            "",
            None,
            metadata_of(row),
            (Passage(text_of(row), 0, 0, vectors[row]),),
            is_point=True,
        )
        for row in range(start, min(start + size, len(vectors)))
    ]
