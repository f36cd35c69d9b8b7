"""Jobs in SQL: items that wait to be written, and their outcomes.

They live in the collection's own file because an item's outcome must commit together with what it wrote:
commits across SQLite files are not atomic. A settled item keeps its result and drops its payload.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values are bound.

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from index.codec import check_id, decode_json, encode_ids, encode_json, timestamp
from index.errors import InvalidId
from index.readers import Readers
from index.rows import JobItem, JobState, Receipt
from index.writer import Change

# Bound as JSON, which takes any text; with "IN" SQLite would sort all items of a job for a page of them.
_IT: Final = "= (SELECT value FROM json_each(?))"


def add(connection: sqlite3.Connection, job_id: str, payloads: Sequence[bytes]) -> Change[str]:
    """Keep a job, and give its id; one without items is finished at once.

    Raises:
        InvalidId: it is no id, or a job has it.
    """
    check_id(job_id)
    now = timestamp()
    try:
        connection.execute(
            "INSERT INTO jobs SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ? FROM jobs",
            (job_id, len(payloads), now, now, None if payloads else now),
        )
    except sqlite3.IntegrityError as error:
        raise InvalidId(job_id, "a job has it") from error
    connection.executemany(
        "INSERT INTO job_items (job, position, payload) VALUES (?, ?, ?)",
        ((job_id, position, payload) for position, payload in enumerate(payloads)),
    )
    return Change(job_id)


def settle(connection: sqlite3.Connection, receipts: Sequence[Receipt]) -> Change[None]:
    """Write the outcomes of items that have none yet, and finish the jobs that have no other items."""
    now = timestamp()
    connection.executemany(
        "UPDATE job_items SET result = ?, failed = ?, payload = NULL"
        " WHERE job = ? AND position = ? AND result IS NULL",
        ((encode_json(r.result), r.failed, r.job_id, r.position) for r in receipts),
    )
    for job_id in {receipt.job_id for receipt in receipts}:
        connection.execute(
            "UPDATE jobs SET updated_at = ?1, finished_at = coalesce(finished_at, iif(EXISTS"
            " (SELECT 1 FROM job_items WHERE job = ?2 AND result IS NULL), NULL, ?1)) WHERE id = ?2",
            (now, job_id),
        )
    return Change(None)


async def pending_items(readers: Readers, job_id: str, limit: int) -> list[JobItem]:
    """The first items without a result, by position."""
    rows = await readers.rows(
        f"SELECT position, payload FROM job_items WHERE job {_IT} AND result IS NULL"
        " ORDER BY position LIMIT ?",
        (encode_ids([job_id]), limit),
    )
    return [JobItem(position, payload) for position, payload in rows]


async def state(readers: Readers, job_id: str) -> JobState | None:
    """Where a job stands."""
    rows = await readers.rows(
        "SELECT j.total, count(i.result), coalesce(sum(i.failed), 0), j.created_at, j.updated_at,"
        " j.finished_at FROM jobs AS j LEFT JOIN job_items AS i ON i.job = j.id"
        f" WHERE j.id {_IT} GROUP BY j.id",
        (encode_ids([job_id]),),
    )
    return JobState(job_id, *rows[0]) if rows else None


async def results(readers: Readers, job_id: str) -> list[Mapping[str, Any] | None]:
    """The result of each item by position."""
    sql = f"SELECT result FROM job_items WHERE job {_IT} ORDER BY position"
    rows = await readers.rows(sql, (encode_ids([job_id]),))
    return [None if row[0] is None else decode_json(row[0]) for row in rows]


async def unfinished(readers: Readers) -> list[str]:
    """Jobs that have items without a result, oldest first."""
    rows = await readers.rows("SELECT id FROM jobs WHERE finished_at IS NULL ORDER BY number")
    return [row[0] for row in rows]
