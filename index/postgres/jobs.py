"""Jobs in SQL, as ``index.jobs`` describes them, and who works on each.

Of all services that share the jobs one at a time holds a job: for as long as its lease runs, which it renews
while it works. Whoever stops without a word loses the job to the next one that asks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from index.codec import check_id, decode_json, encode_json, timestamp
from index.errors import InvalidId
from index.jobs import FORGOTTEN_AT_ONCE, KEPT_AT_LEAST, KEPT_FOR, KEPT_JOBS
from index.postgres.database import Reader, Record
from index.postgres.tables import Tables
from index.postgres.text import askable
from index.postgres.times import optional_text_of
from index.postgres.writer import Turn
from index.rows import JobItem, JobState, Receipt

_STATE: Final = (
    "SELECT id, total, done, failed, created_at, updated_at, finished_at, size_bytes, done_bytes, passages,"
    " cancelled FROM jobs WHERE collection = $1"
)
_ADD: Final = (
    "INSERT INTO jobs (collection, id, total, created_at, updated_at, finished_at, size_bytes)"
    " VALUES ($1, $2, $3, $4, $4, $5, $6) ON CONFLICT DO NOTHING"
)
_FORGET: Final = (
    "DELETE FROM jobs WHERE collection = $1 AND number = ANY(ARRAY(SELECT number FROM jobs"
    " WHERE collection = $1 AND finished_at IS NOT NULL AND (finished_at < $2 OR (finished_at < $3"
    " AND number <= (SELECT number FROM jobs WHERE collection = $1 ORDER BY number DESC OFFSET $4 LIMIT 1)))"
    " ORDER BY finished_at LIMIT $5))"
)
_SETTLE: Final = (
    "UPDATE job_items AS i SET result = r.result, failed = r.failed, payload = NULL"
    " FROM (SELECT DISTINCT ON (job, position) * FROM"
    " unnest($2::text[], $3::integer[], $4::text[], $5::boolean[], $6::bigint[])"
    " WITH ORDINALITY AS r (job, position, result, failed, passages, place)"
    " ORDER BY job, position, place) AS r"
    " WHERE i.collection = $1 AND i.job = r.job AND i.position = r.position AND i.result IS NULL"
    " RETURNING i.job, i.failed, i.size_bytes, r.passages"
)
_COUNT: Final = (
    "UPDATE jobs SET done = done + $3, failed = failed + $4, done_bytes = done_bytes + $5,"
    " passages = passages + $6, updated_at = $7,"
    " finished_at = coalesce(finished_at, CASE WHEN done + $3 = total THEN $7::timestamptz END)"
    " WHERE collection = $1 AND id = $2"
)


async def add(turn: Turn, job_id: str, payloads: Sequence[bytes], sizes: Sequence[int]) -> str:
    """Keep a job, and give its id; one without items is finished at once. Old ones are forgotten.

    Raises:
        InvalidId: it is no id, or a job has it.
    """
    check_id(job_id)
    key, now = turn.tables.key, turn.now
    finished_at = None if payloads else now
    done = await turn.connection.execute(_ADD, key, job_id, len(payloads), now, finished_at, sum(sizes))
    if done != "INSERT 0 1":
        raise InvalidId(job_id, "a job has it")
    items = zip(payloads, sizes, strict=True)
    await turn.connection.copy_records_to_table(
        "job_items",
        records=[(key, job_id, position, *item) for position, item in enumerate(items)],
        columns=("collection", "job", "position", "payload", "size_bytes"),
    )
    oldest, older = now - KEPT_FOR, now - KEPT_AT_LEAST
    await turn.connection.execute(_FORGET, key, oldest, older, KEPT_JOBS, FORGOTTEN_AT_ONCE)
    return job_id


async def settle(turn: Turn, receipts: Sequence[Receipt]) -> None:
    """Write the outcomes of items that have none yet, and finish the jobs that have no other items."""
    known = [receipt for receipt in receipts if askable([receipt.job_id])]
    if not known:
        return
    rows = await turn.connection.fetch(
        _SETTLE,
        turn.tables.key,
        [receipt.job_id for receipt in known],
        [receipt.position for receipt in known],
        [encode_json(receipt.result) for receipt in known],
        [receipt.failed for receipt in known],
        [receipt.passages for receipt in known],
    )
    for job_id in dict.fromkeys(receipt.job_id for receipt in known):
        settled = [row for row in rows if row[0] == job_id]
        failed = sum(row[1] for row in settled)
        size_bytes, passages = sum(row[2] for row in settled), sum(row[3] for row in settled)
        await turn.connection.execute(
            _COUNT, turn.tables.key, job_id, len(settled), failed, size_bytes, passages, turn.now
        )


async def cancel(turn: Turn, job_id: str) -> None:
    """End a job that has not ended, and drop the items that wait."""
    ended = await turn.connection.fetch(
        "UPDATE jobs SET cancelled = true, updated_at = $3, finished_at = $3"
        " WHERE collection = $1 AND id = ANY($2) AND finished_at IS NULL RETURNING id",
        turn.tables.key,
        askable([job_id]),
        turn.now,
    )
    if ended:
        await turn.connection.execute(
            "DELETE FROM job_items WHERE collection = $1 AND job = $2 AND result IS NULL",
            turn.tables.key,
            job_id,
        )


async def pending_items(reader: Reader, tables: Tables, job_id: str, limit: int) -> list[JobItem]:
    """The first items without a result, by position."""
    rows = await reader.fetch(
        "SELECT position, payload FROM job_items WHERE collection = $1 AND job = ANY($2) AND result IS NULL"
        " ORDER BY position LIMIT $3",
        tables.key,
        askable([job_id]),
        limit,
    )
    return [JobItem(position, payload) for position, payload in rows]


async def state(reader: Reader, tables: Tables, job_id: str) -> JobState | None:
    """Where a job stands."""
    row = await reader.row(f"{_STATE} AND id = ANY($2)", tables.key, askable([job_id]))
    return None if row is None else _state(row)


async def newest(reader: Reader, tables: Tables, limit: int) -> list[JobState]:
    """Where the newest jobs stand, newest first."""
    rows = await reader.fetch(f"{_STATE} ORDER BY number DESC LIMIT $2", tables.key, limit)
    return [_state(row) for row in rows]


def _state(row: Record) -> JobState:
    id_, total, done, failed, created_at, updated_at, finished_at, *counts = row
    moments = timestamp(created_at), timestamp(updated_at), optional_text_of(finished_at)
    return JobState(id_, total, done, failed, *moments, *counts)


async def results(reader: Reader, tables: Tables, job_id: str) -> list[Mapping[str, Any] | None]:
    """The result of each item by position."""
    rows = await reader.fetch(
        "SELECT result FROM job_items WHERE collection = $1 AND job = ANY($2) ORDER BY position",
        tables.key,
        askable([job_id]),
    )
    return [None if row[0] is None else decode_json(row[0]) for row in rows]


async def unfinished(reader: Reader, tables: Tables) -> list[str]:
    """Jobs that have items without a result, oldest first."""
    rows = await reader.fetch(
        "SELECT id FROM jobs WHERE collection = $1 AND finished_at IS NULL ORDER BY number", tables.key
    )
    return [row[0] for row in rows]
