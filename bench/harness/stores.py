"""The three stores that a service may search, each with a server of its own and one collection that is filled
with the same rows; and the bare clients of two of them, which ask the same servers for the same.

A bare client's search is one call with all options set before, as its documentation has it, and searches as
widely as the store does. What that does beyond it (the truth, min(k, matches), snapshots) is its price.
"""

import importlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from harness.grown import Matrix
from harness.options import REPOSITORY
from harness.vector_rows import EF, ROWS_PER_WRITE, K, id_of, metadata_of, text_of
from index.catalog import open_catalog
from index.growth import GraphTuning
from index.planner import candidates_to_fetch
from index.postgres import vector_index
from index.postgres.catalog import open_postgres_catalog
from index.postgres.graph_shape import distance, graph_shape
from index.postgres.opening import open_database
from index.postgres.vectors import decode_vector, encode_vector
from index.rows import CollectionSettings, Document, Passage
from index.store import Store

EMBEDDED, PGVECTOR, MILVUS = "embedded", "pgvector", "Milvus Lite"
NAME: Final = "rows"
WITHOUT_GRAPH: Final = GraphTuning(threshold=sys.maxsize)
_MILVUS_EF: Final = 64
"""As ``index.milvus.server`` asks."""

Bare = Callable[[Matrix], Awaitable[list[str]]]
"""Asks for what is nearest to a question (dim,): ids, best first."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A collection with all rows; seconds until they were acknowledged, and until the graph had them."""

    store: Store
    written_s: float
    ready_s: float
    bare: Bare | None = None


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
        ready_s = time.perf_counter() - began
        connection = await asyncpg.connect(server.url, server_settings={"search_path": "embedd, public"})
        stack.push_async_callback(connection.close)
        bare = await _bare_pgvector(connection, collection)
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
        ready_s = time.perf_counter() - began
        client = importlib.import_module("pymilvus").AsyncMilvusClient(uri=server.url, dedicated=True)
        stack.push_async_callback(client.close)
        yield Filled(collection, written_s, ready_s, _bare_milvus(client, collection.mirror.place))


def _bare_milvus(client: Any, place: str) -> Bare:
    async def ask(question: Matrix) -> list[str]:
        found = await client.search(
            place,
            data=[question],
            anns_field="vector",
            limit=K,
            search_params={"params": {"ef": _MILVUS_EF}},
            output_fields=["document_id"],
        )
        return [hit["entity"]["document_id"] for hit in found[0]]

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
