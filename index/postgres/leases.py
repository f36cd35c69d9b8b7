"""Who works on a job: one of all services that share the jobs, for as long as its lease runs.

The holder renews its lease while it works. One that stops without a word loses its jobs, when their leases are
over, to whoever asks next. Time is the server's.
"""

from datetime import timedelta
from typing import Final

from index.postgres.database import Database

_FREE: Final = "finished_at IS NULL AND (lease_until IS NULL OR lease_until <= clock_timestamp())"
# Of each collection the oldest: its jobs are done in their order. Who finds a row locked takes another.
_CLAIM: Final = (
    "UPDATE jobs SET holder = $1, lease_until = clock_timestamp() + $2 WHERE (collection, id) IN ("
    f"SELECT collection, id FROM jobs AS j WHERE {_FREE} AND NOT EXISTS (SELECT 1 FROM jobs AS before"
    " WHERE before.collection = j.collection AND before.finished_at IS NULL AND before.number < j.number)"
    " ORDER BY coalesce(lease_until, created_at), number LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"
)
_RENEW: Final = (
    "UPDATE jobs SET lease_until = clock_timestamp() + $3"
    " WHERE id = $2 AND holder = $1 AND finished_at IS NULL AND lease_until > clock_timestamp()"
)
_RELEASE: Final = (
    "UPDATE jobs SET holder = NULL, lease_until = clock_timestamp() WHERE id = $2 AND holder = $1"
)


async def claim(database: Database, holder: str, lease_s: float) -> str | None:
    """A job that nobody works on, from now on the holder's: of those that are the first of their collection the
    one that waits for longest; None if there is none.
    """
    async with database.transaction() as connection:
        job_id: str | None = await connection.fetchval(_CLAIM, holder, timedelta(seconds=lease_s))
        return job_id


async def renew(database: Database, holder: str, job_id: str, lease_s: float) -> bool:
    """Hold the job for so long from now; whether it is the holder's still."""
    return await database.execute(_RENEW, holder, job_id, timedelta(seconds=lease_s)) == "UPDATE 1"


async def release(database: Database, holder: str, job_id: str) -> None:
    """Leave the job to others, behind those that wait already; one that is not the holder's stays as it is."""
    await database.execute(_RELEASE, holder, job_id)
