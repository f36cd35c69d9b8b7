"""Jobs in SQL: items that wait to be written, and their outcomes.

They live in the collection's own file because an item's outcome must commit together with what it wrote:
commits across SQLite files are not atomic. A settled item keeps its result and drops its payload. What a job
has come to is counted in its own row, so that watching it costs one row.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values are bound.

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from index.codec import check_id, decode_json, encode_ids, encode_json, timestamp
from index.errors import InvalidId
from index.readers import Readers
from index.rows import JobItem, JobState, Receipt
from index.writer import Change

KEPT_FOR: Final = timedelta(days=7)
KEPT_JOBS: Final = 1_000
"""So many of the newest are kept for ``KEPT_FOR`` after their end, the others for ``KEPT_AT_LEAST``."""

KEPT_AT_LEAST: Final = timedelta(days=1)
"""As long as keys of idempotent requests, which name their jobs."""

FORGOTTEN_AT_ONCE: Final = 20
"""So that the first job after an upgrade does not wait for years of them."""

# Bound as JSON, which takes any text; with "IN" SQLite would sort all items of a job for a page of them.
_IT: Final = "= (SELECT value FROM json_each(?))"
_STATE: Final = (
    "SELECT id, total, done, failed, created_at, updated_at, finished_at, size_bytes, done_bytes, passages,"
    " cancelled FROM jobs"
)


def add(
    connection: sqlite3.Connection, job_id: str, payloads: Sequence[bytes], sizes: Sequence[int]
) -> Change[str]:
    """Keep a job, and give its id; one without items is finished at once. Old ones are forgotten.

    Raises:
        InvalidId: it is no id, or a job has it.
    """
    check_id(job_id)
    now = timestamp()
    try:
        connection.execute(
            "INSERT INTO jobs (id, number, total, created_at, updated_at, finished_at, size_bytes)"
            " SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ?, ? FROM jobs",
            (job_id, len(payloads), now, now, None if payloads else now, sum(sizes)),
        )
    except sqlite3.IntegrityError as error:
        raise InvalidId(job_id, "a job has it") from error
    connection.executemany(
        "INSERT INTO job_items (job, position, payload, size_bytes) VALUES (?, ?, ?, ?)",
        [
            (job_id, position, payload, size)
            for position, (payload, size) in enumerate(zip(payloads, sizes, strict=True))
        ],
    )
    _forget(connection, datetime.now(UTC))
    return Change(job_id)


def _forget(connection: sqlite3.Connection, now: datetime) -> None:
    """Delete jobs that ended long ago, some at a time."""
    connection.execute(
        "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs WHERE finished_at IS NOT NULL"
        " AND (finished_at < ? OR (finished_at < ? AND number <= (SELECT max(number) FROM jobs) - ?))"
        " ORDER BY finished_at LIMIT ?)",
        (timestamp(now - KEPT_FOR), timestamp(now - KEPT_AT_LEAST), KEPT_JOBS, FORGOTTEN_AT_ONCE),
    )


def settle(connection: sqlite3.Connection, receipts: Sequence[Receipt]) -> Change[None]:
    """Write the outcomes of items that have none yet, and finish the jobs that have no other items."""
    now = timestamp()
    counted = {receipt.job_id: _Counted() for receipt in receipts}
    for receipt in receipts:
        counted[receipt.job_id].add(receipt, _settle_item(connection, receipt))
    for job_id, new in counted.items():
        connection.execute(
            "UPDATE jobs SET done = done + ?1, failed = failed + ?2, done_bytes = done_bytes + ?3,"
            " passages = passages + ?4, updated_at = ?5,"
            " finished_at = coalesce(finished_at, iif(done + ?1 = total, ?5, NULL)) WHERE id = ?6",
            (new.done, new.failed, new.size_bytes, new.passages, now, job_id),
        )
    return Change(None)


@dataclass(slots=True)
class _Counted:
    """What receipts add to their job."""

    done: int = 0
    failed: int = 0
    size_bytes: int = 0
    passages: int = 0

    def add(self, receipt: Receipt, size_bytes: int | None) -> None:
        if size_bytes is not None:
            self.done += 1
            self.failed += receipt.failed
            self.size_bytes += size_bytes
            self.passages += receipt.passages


def _settle_item(connection: sqlite3.Connection, receipt: Receipt) -> int | None:
    """How many bytes the item stands for; None if there is none that waits."""
    rows = connection.execute(
        "UPDATE job_items SET result = ?, failed = ?, payload = NULL"
        " WHERE job = ? AND position = ? AND result IS NULL RETURNING size_bytes",
        (encode_json(receipt.result), receipt.failed, receipt.job_id, receipt.position),
    ).fetchall()
    return rows[0][0] if rows else None


def cancel(connection: sqlite3.Connection, job_id: str) -> Change[None]:
    """End a job that has not ended, and drop the items that wait."""
    it, now = encode_ids([job_id]), timestamp()
    connection.execute(
        "DELETE FROM job_items WHERE result IS NULL"
        f" AND job IN (SELECT id FROM jobs WHERE id {_IT} AND finished_at IS NULL)",
        (it,),
    )
    connection.execute(
        f"UPDATE jobs SET cancelled = 1, updated_at = ?1, finished_at = ?1"
        f" WHERE finished_at IS NULL AND id {_IT.replace('?', '?2')}",
        (now, it),
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
    rows = await readers.rows(f"{_STATE} WHERE id {_IT}", (encode_ids([job_id]),))
    return _state(rows[0]) if rows else None


async def newest(readers: Readers, limit: int) -> list[JobState]:
    """Where the newest jobs stand, newest first."""
    rows = await readers.rows(f"{_STATE} ORDER BY number DESC LIMIT ?", (limit,))
    return [_state(row) for row in rows]


def _state(row: Sequence[Any]) -> JobState:
    state = JobState(*row)
    return replace(state, cancelled=bool(state.cancelled))


async def results(readers: Readers, job_id: str) -> list[Mapping[str, Any] | None]:
    """The result of each item by position."""
    sql = f"SELECT result FROM job_items WHERE job {_IT} ORDER BY position"
    rows = await readers.rows(sql, (encode_ids([job_id]),))
    return [None if row[0] is None else decode_json(row[0]) for row in rows]


async def unfinished(readers: Readers) -> list[str]:
    """Jobs that have items without a result, oldest first."""
    rows = await readers.rows("SELECT id FROM jobs WHERE finished_at IS NULL ORDER BY number")
    return [row[0] for row in rows]
