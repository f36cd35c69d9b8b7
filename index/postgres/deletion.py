"""Deleting documents, with a line in the history for each."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Container, Sequence
from operator import itemgetter
from typing import Final

from index.errors import VersionConflict
from index.filters import Filter
from index.postgres.database import Record
from index.postgres.filter_sql import compile_filter
from index.postgres.parameters import Parameters
from index.postgres.tables import LIVING
from index.postgres.text import askable
from index.postgres.writer import Turn

_RECORD: Final = (
    "INSERT INTO deletions (collection, id, change, deleted_at)"
    " SELECT $1, id, change, $4 FROM unnest($2::text[], $3::bigint[]) AS gone (id, change)"
    " ON CONFLICT (collection, id) DO UPDATE SET change = excluded.change, deleted_at = excluded.deleted_at"
)


async def delete_ids(turn: Turn, ids: Sequence[str], versions: Container[int] | None) -> int:
    """Delete the documents of these ids; gives how many were there.

    Raises:
        VersionConflict: one has none of ``versions``, or is not there, if these are given.
    """
    table, known = turn.tables.documents, askable(ids)
    if versions is not None:
        sql = f"SELECT d.id, d.version FROM {table} AS d WHERE d.id = ANY($1) AND {LIVING}"
        found: dict[str, int] = {row[0]: row[1] for row in await turn.connection.fetch(sql, known)}
        for id_ in ids:
            if found.get(id_, 0) not in versions:
                raise VersionConflict(id_, found.get(id_, 0))
    sql = f"DELETE FROM {table} AS d WHERE d.id = ANY($1) AND {LIVING} RETURNING d.key, d.id"
    return await record(turn, await turn.connection.fetch(sql, known))


async def delete_matching(turn: Turn, condition: Filter) -> int:
    """Delete the documents that match; gives how many."""
    parameters = Parameters()
    where = compile_filter(condition, parameters)
    sql = f"DELETE FROM {turn.tables.documents} AS d WHERE {LIVING} AND ({where}) RETURNING d.key, d.id"
    return await record(turn, await turn.connection.fetch(sql, *parameters.values))


async def delete_expired(turn: Turn, limit: int) -> int:
    """Delete up to ``limit`` of the documents that have expired; gives how many."""
    table = turn.tables.documents
    sql = (
        f"DELETE FROM {table} AS d WHERE d.key = ANY(ARRAY(SELECT key FROM {table}"
        " WHERE expires_at <= statement_timestamp() ORDER BY expires_at LIMIT $1)) RETURNING d.key, d.id"
    )
    return await record(turn, await turn.connection.fetch(sql, limit))


async def record(turn: Turn, gone: Sequence[Record]) -> int:
    """Tell the history of documents that are deleted, rows of (key, id), in the order of their keys; gives
    how many there are.
    """
    if gone:
        ids = [row[1] for row in sorted(gone, key=itemgetter(0))]
        await turn.connection.execute(_RECORD, turn.tables.key, ids, turn.take_changes(len(ids)), turn.now)
    return len(gone)
