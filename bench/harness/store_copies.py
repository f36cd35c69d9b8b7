"""How fast `embedd copy` brings a collection from a data folder to PostgreSQL or Milvus, beside the bare
client that writes the same rows.

A copy is over when searches find all of it; it is then read on both sides and compared, which is timed alone.
"""

import importlib
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg

from api.cli.copy_places import Vectors, open_source, open_target
from harness.grown import Matrix
from harness.stores import NAME, WITHOUT_GRAPH, fill, points, settings_of, support
from harness.vector_rows import id_of, metadata_of, text_of
from index.catalog import open_catalog
from index.copying.catalog import CatalogCopy, Wanted
from index.copying.comparison import compare
from index.postgres.vectors import decode_vector, encode_vector
from index.rows import DocumentCopy, Stamps

_MOMENT: Final = "2026-01-01T00:00:00.000000Z"
ROWS_OF_A_COPY: Final = 1_000
ROWS_OF_AN_UPSERT: Final = 256
"""As a copy has it; with a thousand a call Milvus Lite is slower."""


async def make_source(folder: Path, vectors: Matrix) -> None:
    """A data folder with one collection of these rows, closed."""
    async with open_catalog(folder, WITHOUT_GRAPH) as catalog:
        collection, _ = await catalog.create(settings_of(vectors))
        await fill(collection, vectors)


async def to_postgres(source: Path, vectors: Matrix) -> dict[str, Any]:
    with support("postgres_server").postgres_server(durable=True) as server:
        bare_s = await timed(lambda: bare_postgres(server.url, vectors))
        return await copied(source, server.url, None, len(vectors)) | {
            "bare_rows_per_s": len(vectors) / bare_s
        }


async def to_milvus(source: Path, folder: Path, vectors: Matrix) -> dict[str, Any]:
    with support("milvus_server").milvus_server(folder) as server:
        bare_s = await timed(lambda: bare_milvus(server.url, vectors))
        target = str(folder / "truth")
        return await copied(source, target, server.url, len(vectors)) | {
            "bare_rows_per_s": len(vectors) / bare_s
        }


async def copied(source: Path, target: str, milvus: str | None, rows: int) -> dict[str, Any]:
    """What the command does, in this process."""
    vectors = Vectors(milvus, "copied_") if milvus else None
    async with open_source(str(source)) as here, open_target(target, vectors) as there:
        copy = CatalogCopy(here.catalog, there.catalog, there.marks, Wanted(), lambda _step: None)
        began = time.perf_counter()
        await copy.catch_up()
        await there.settled(NAME)
        took_s = time.perf_counter() - began
        comparisons = [await compare(each) for each in copy.copies]
        compared_s = time.perf_counter() - began - took_s
    assert [each.agrees for each in comparisons] == [True], "the copy differs"
    return {"rows_per_s": rows / took_s, "compared_rows_per_s": rows / compared_s}


async def bare_postgres(url: str, vectors: Matrix) -> None:
    """The same content by COPY into a table without an index but its key."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        await connection.execute(
            "CREATE TABLE bare (id text PRIMARY KEY, text text, metadata jsonb,"
            f" vector vector({vectors.shape[1]}))"
        )
        await connection.set_type_codec(
            "vector", schema="public", encoder=encode_vector, decoder=decode_vector, format="binary"
        )
        for start in range(0, len(vectors), ROWS_OF_A_COPY):
            some = range(start, min(start + ROWS_OF_A_COPY, len(vectors)))
            await connection.copy_records_to_table(
                "bare",
                records=[
                    (id_of(row), text_of(row), json.dumps(metadata_of(row)), vectors[row]) for row in some
                ],
            )
        await connection.execute("DROP TABLE bare")
    finally:
        await connection.close()


async def bare_milvus(url: str, vectors: Matrix) -> None:
    """The very rows that a copy writes, into a collection that is made as it makes one."""
    server, shape = (importlib.import_module(f"index.milvus.{name}") for name in ("server", "shape"))
    settings = settings_of(vectors)
    copies = [DocumentCopy(point, Stamps(1, _MOMENT, _MOMENT)) for point in points(vectors, 0, len(vectors))]
    async with server.open_milvus(url) as milvus:
        await milvus.ping()
        await milvus.create("bare", shape.shape_of(settings))
    client = importlib.import_module("pymilvus").AsyncMilvusClient(uri=url, dedicated=True)
    try:
        for start in range(0, len(copies), ROWS_OF_AN_UPSERT):
            some = copies[start : start + ROWS_OF_AN_UPSERT]
            await client.upsert("bare", [row for copy in some for row in shape.rows_of(copy, settings, 1)])
        await client.drop_collection("bare")
    finally:
        await client.close()


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
