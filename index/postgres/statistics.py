"""Sizes of a collection."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from index.postgres.database import Reader
from index.postgres.tables import LIVING, Tables
from index.rows import CollectionStatistics


async def read(reader: Reader, tables: Tables) -> CollectionStatistics:
    """What is there, and what it takes on the server's disk. Nothing of it is in this process."""
    row = await reader.row(
        f"SELECT count(*), coalesce(sum(d.passages), 0)::bigint,"
        f" pg_total_relation_size('{tables.documents}') + pg_total_relation_size('{tables.passages}')"
        f" FROM {tables.documents} AS d WHERE {LIVING}"
    )
    assert row is not None
    documents, points, size_bytes = row
    return CollectionStatistics(documents, points, graph_points=0, graph_deleted=0, size_bytes=size_bytes)
