"""Building the HNSW index of a collection, when it has grown so large that searches want one.

One service builds at a time, beside reads and writes; until the index is whole all vectors are compared. From
then on PostgreSQL keeps it with every write.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from dataclasses import dataclass
from typing import Final

import structlog

from index.postgres.database import Connection, Database
from index.postgres.graph_shape import GraphShape, graph_name, graph_shape
from index.postgres.tables import Tables
from index.rows import CollectionSettings

# A build may take hours; the server ends it when it is told to stop.
_WITHIN_S: Final = 7 * 24 * 3600.0
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('embedd graphs'), hashtext(current_schema()))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtext('embedd graphs'), hashtext(current_schema()))"
_IS_WHOLE: Final = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"


@dataclass(frozen=True, slots=True)
class GraphTuning:
    """From how many points on there is an index, and its options, those that pgvector has by default: a row
    that is written to an index of twice the ``ef_construction`` takes twice as long.
    """

    threshold: int = 5_000
    m: int = 16
    ef_construction: int = 64


async def keep(
    database: Database, tables: Tables, settings: CollectionSettings, tuning: GraphTuning | None = None
) -> None:
    """Build the index if there should be one and is none; if another service builds, leave it to that one.

    Raises:
        StorageFailed: the server refused.
    """
    tuning = tuning or GraphTuning()
    shape = graph_shape(settings)
    if shape is None or await database.value(_IS_WHOLE, graph_name(tables)):
        return
    counted = f"SELECT count(*) FROM (SELECT FROM {tables.passages} LIMIT $1) AS first"
    if await database.value(counted, tuning.threshold) < tuning.threshold:
        return
    async with database.connection() as connection:
        if await connection.fetchval(_LOCK):
            try:
                await _build(connection, tables, shape, tuning)
            finally:
                await connection.execute(_UNLOCK)


async def _build(connection: Connection, tables: Tables, shape: GraphShape, tuning: GraphTuning) -> None:
    name = graph_name(tables)
    is_whole = await connection.fetchval(_IS_WHOLE, name)
    if is_whole:
        return
    if is_whole is False:  # somebody was stopped while building
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", timeout=_WITHIN_S)
    inside = shape.has("vector")
    if inside is not None:
        await connection.execute(
            f"CREATE INDEX IF NOT EXISTS {name}_outside ON {tables.passages} (seq) WHERE NOT ({inside})",
            timeout=_WITHIN_S,
        )
    log = structlog.get_logger().bind(table=tables.passages)
    log.info("graph_build_started")
    await connection.execute(
        f"CREATE INDEX CONCURRENTLY {name} ON {tables.passages} USING hnsw ({shape.indexed})"
        f" WITH (m = {tuning.m}, ef_construction = {tuning.ef_construction})"
        + ("" if inside is None else f" WHERE {inside}"),
        timeout=_WITHIN_S,
    )
    log.info("graph_built")
