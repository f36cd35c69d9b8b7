"""Sizes of a collection."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from index.postgres.database import Reader
from index.postgres.graph_shape import graph_name, has_graph
from index.postgres.tables import LIVING, Tables
from index.rows import CollectionStatistics


async def read(reader: Reader, tables: Tables) -> CollectionStatistics:
    """What is there, and what it takes on the server's disk. Nothing of it is in this process."""
    row = await reader.row(
        f"SELECT count(*), coalesce(sum(d.passages), 0)::bigint,"
        f" pg_total_relation_size('{tables.documents}') + pg_total_relation_size('{tables.passages}'),"
        f" {has_graph('$1')} FROM {tables.documents} AS d WHERE {LIVING}",
        graph_name(tables),
    )
    assert row is not None
    documents, points, size_bytes, is_indexed = row
    return CollectionStatistics(
        documents,
        points,
        graph_points=points if is_indexed else 0,
        graph_deleted=0,
        size_bytes=size_bytes,
    )
