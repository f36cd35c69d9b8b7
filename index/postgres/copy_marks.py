"""How far copies into collections of a PostgreSQL have come, in a table that only those make who copy."""

from collections.abc import Mapping
from typing import Final

from index.copying.marks import Mark
from index.postgres.database import Database
from index.postgres.migrations import Steps

_CREATE: Final = """CREATE TABLE copies (
    collection bigint PRIMARY KEY REFERENCES collections ON DELETE CASCADE,
    source text NOT NULL,
    moment bigint NOT NULL,
    written bigint NOT NULL,
    filling boolean NOT NULL,
    behind text COLLATE "C" NOT NULL
)"""
_READ: Final = (
    "SELECT m.source, m.moment, m.written, m.filling, m.behind FROM copies AS m"
    " JOIN collections AS c ON c.key = m.collection WHERE c.name = $1"
)
_WRITE: Final = (
    "INSERT INTO copies SELECT key, $2, $3, $4, $5, $6 FROM collections WHERE name = $1"
    " ON CONFLICT (collection) DO UPDATE SET source = excluded.source, moment = excluded.moment,"
    " written = excluded.written, filling = excluded.filling, behind = excluded.behind"
)

PARTS: Final[Mapping[str, Steps]] = {"copies": ((_CREATE,),)}
"""As ``index.postgres.opening.open_database`` takes them."""


class PostgresMarks:
    """Implements ``index.copying.marks.Marks``; ``database`` was opened with ``PARTS``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, name: str) -> Mark | None:
        row = await self._database.row(_READ, name)
        return None if row is None else Mark(*row)

    async def write(self, name: str, mark: Mark) -> None:
        await self._database.execute(
            _WRITE, name, mark.source, mark.moment, mark.written, mark.filling, mark.behind
        )
