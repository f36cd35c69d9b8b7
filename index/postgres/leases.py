"""Who works on a job: one of all services that share the jobs, for as long as its lease runs.

The holder renews its leases while it works. One that stops without a word loses its jobs, when their leases
are over, to whoever asks next; what it writes for them then comes too late. Time is the server's.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values are bound.

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from index.errors import JobNotHeld
from index.postgres.database import Database
from index.postgres.text import askable
from index.postgres.writer import Turn

LEASE_S: Final = 10.0
_IS_OVER: Final = "(lease_until IS NULL OR lease_until <= clock_timestamp())"
# Of each collection the oldest, for its jobs are done in their order. Who finds a row locked takes another. A
# plan may carry out a subquery several times, and find another row each time; what is materialized only once.
_CLAIM: Final = (
    "WITH next AS MATERIALIZED (SELECT collection, id FROM jobs AS j"
    f" WHERE finished_at IS NULL AND {_IS_OVER} AND NOT EXISTS"
    " (SELECT 1 FROM jobs AS before WHERE before.finished_at IS NULL AND before.collection = j.collection"
    " AND before.number < j.number) ORDER BY coalesce(lease_until, created_at), number LIMIT 1"
    " FOR UPDATE SKIP LOCKED)"
    " UPDATE jobs SET holder = $1, lease_until = clock_timestamp() + $2::interval FROM next"
    " WHERE jobs.collection = next.collection AND jobs.id = next.id RETURNING jobs.id"
)
_RENEW: Final = (
    "UPDATE jobs SET lease_until = clock_timestamp() + $3::interval"
    " WHERE id = ANY($2) AND holder = $1 AND finished_at IS NULL RETURNING id"
)
# Who had a job last stays known, so that it can be told from whoever had it before.
_RELEASE: Final = (
    "UPDATE jobs SET lease_until = clock_timestamp() + $3::interval WHERE id = ANY($2) AND holder = $1"
)
# Nobody can claim them before the write is committed.
_LOCK: Final = (
    "SELECT id, holder IS NULL OR (holder = $3 AND finished_at IS NULL) FROM jobs"
    " WHERE collection = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE"
)


class PostgresLeases:
    """The ``Leases`` of one service, ``holder``."""

    def __init__(self, database: Database, holder: str, lease_s: float) -> None:
        self._database = database
        self._holder = holder
        self._lease = timedelta(seconds=lease_s)

    async def claim(self) -> str | None:
        async with self._database.transaction() as connection:
            job_id: str | None = await connection.fetchval(_CLAIM, self._holder, self._lease)
            return job_id

    async def renew(self, job_ids: Collection[str]) -> frozenset[str]:
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_RENEW, self._holder, askable(job_ids), self._lease)
            return frozenset(row[0] for row in rows)

    async def release(self, job_id: str, pause_s: float) -> None:
        await self._database.execute(_RELEASE, self._holder, askable([job_id]), timedelta(seconds=pause_s))

    async def give_up(self) -> None:
        """End what waits for a server that has fallen silent."""
        await self._database.give_up()


async def refuse_lost(turn: Turn, holder: str, job_ids: Collection[str]) -> None:
    """Let nothing be written for jobs that this service has worked on and does not any more.

    Raises:
        JobNotHeld: another one holds it, or it has ended.
    """
    for job_id, is_held in await turn.connection.fetch(_LOCK, turn.tables.key, askable(job_ids), holder):
        if not is_held:
            raise JobNotHeld(job_id)
