"""The buckets of quotas in the PostgreSQL of the catalog: a row a caller, whose statement is its own lock."""

# ruff: noqa: S608 - statements are put together from constants of this module; values are bound.

from collections.abc import Mapping
from typing import Final

from api.security.shared_quotas import Levels
from index.postgres.database import Database

# Of a bucket of capacity {c} as it is now, behind what is due.
_NOW: Final = "least({c}, b.{name} + extract(epoch FROM clock_timestamp() - b.at)::float8 * {c} / 60)"
_REQUESTS: Final = _NOW.format(c="$2::float8", name="requests")
_TOKENS: Final = f"({_NOW.format(c='$3::float8', name='tokens')} - $4::float8)"
_ADMITTED: Final = f"({_REQUESTS} >= 1 AND {_TOKENS} > 0)"
_TAKE: Final = (
    "INSERT INTO buckets AS b VALUES ($1, $2::float8 - 1, $3::float8 - $4::float8, clock_timestamp(), true)"
    " ON CONFLICT (caller) DO UPDATE SET (requests, tokens, at, admitted) ="
    f" ({_REQUESTS} - {_ADMITTED}::int, {_TOKENS}, clock_timestamp(), {_ADMITTED})"
    " RETURNING requests, tokens, admitted"
)
_PAY: Final = (
    "UPDATE buckets AS b SET tokens = b.tokens - due.tokens"
    " FROM unnest($1::text[], $2::float8[]) AS due(caller, tokens) WHERE b.caller = due.caller"
)


class PostgresLedger:
    """A `Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, caller: str, requests: float, tokens: float, due: float) -> Levels:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_TAKE, caller, requests, tokens, due)
        assert row is not None, "it is there, or made"
        return Levels(*row)

    async def pay(self, due: Mapping[str, float]) -> None:
        callers = sorted(due)  # always in the same order, so that two of them cannot wait for each other
        async with self._database.connection() as connection:
            await connection.execute(_PAY, callers, [due[caller] for caller in callers])
