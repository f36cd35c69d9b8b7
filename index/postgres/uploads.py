"""Files that wait for jobs, in the database, where whichever service works on the job can reach them.

They are in parts, so that neither side has a whole file in memory.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from index.files import disk_in_words
from index.postgres.database import Database
from index.postgres.tables import Tables
from index.postgres.text import askable

_PART_BYTES: Final = 1 << 20
# So many bytes are brought at once, or one file.
_AT_ONCE_BYTES: Final = 256 << 20
# Whoever keeps the files of a job that is not there yet has kept the job by then, or failed.
ABOUT_TO_BE_KEPT: Final = timedelta(hours=1)
_KEEP: Final = (
    "INSERT INTO uploads (collection, job, position, part, bytes, created_at)"
    " VALUES ($1, $2, $3, $4, $5, clock_timestamp())"
)
_SIZES: Final = (
    "SELECT position, sum(octet_length(bytes))::bigint FROM uploads"
    " WHERE collection = $1 AND job = $2 AND position = ANY($3) GROUP BY position"
)
_PART: Final = "SELECT bytes FROM uploads WHERE collection = $1 AND job = $2 AND position = $3 AND part = $4"
_DROP: Final = "DELETE FROM uploads WHERE collection = $1 AND job = ANY($2)"
_SWEEP: Final = (
    "DELETE FROM uploads WHERE collection = $1 AND job <> ALL($2)"
    " AND created_at < clock_timestamp() - $3::interval"
)
_SENDING: Final = "a file that waits to be ingested cannot be read"
_BRINGING: Final = "a file that waits to be ingested cannot be brought here"


class PostgresUploads:
    """The ``Uploads`` of one collection; files are brought to ``spool``, a folder of this service's own."""

    def __init__(self, database: Database, tables: Tables, spool: Path) -> None:
        self._database = database
        self._key = tables.key
        self._spool = spool

    async def keep(self, job_id: str, uploads: Mapping[int, Path]) -> None:
        """Copies the files, all of them or none, and leaves them where they are."""
        async with self._database.transaction() as connection:
            for position, path in uploads.items():
                parts = _parts(path)
                number = 0
                while (content := await asyncio.to_thread(next, parts, None)) is not None:
                    await connection.execute(_KEEP, self._key, job_id, position, number, content)
                    number += 1

    @asynccontextmanager
    async def fetched(self, job_id: str, positions: Sequence[int]) -> AsyncIterator[Mapping[int, Path]]:
        """So many of them as are ``_AT_ONCE_BYTES`` together, in a folder that goes when this is left."""
        rows = await self._database.fetch(_SIZES, self._key, job_id, list(positions))
        sizes: dict[int, int] = {row[0]: row[1] for row in rows}
        folder = await asyncio.to_thread(_folder_in, self._spool)
        try:
            places = {position: folder / str(position) for position in _first_of(positions, sizes)}
            for position in places.keys() & sizes.keys():
                await self._bring(job_id, position, places[position])
            yield places
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _bring(self, job_id: str, position: int, place: Path) -> None:
        number = 0
        with disk_in_words(_BRINGING):
            file = await asyncio.to_thread(place.open, "wb")
        with file:
            while part := await self._database.value(_PART, self._key, job_id, position, number):
                await asyncio.to_thread(_write, file, part)
                number += 1

    async def drop(self, job_id: str) -> None:
        await self._database.execute(_DROP, self._key, askable([job_id]))

    async def sweep(self, waiting: Collection[str]) -> None:
        await self._database.execute(_SWEEP, self._key, askable(waiting), ABOUT_TO_BE_KEPT)


def _parts(path: Path) -> Iterator[bytes]:
    """What a file holds, in parts; of an empty file one."""
    with disk_in_words(_SENDING), path.open("rb") as file:
        yield file.read(_PART_BYTES)
        while part := file.read(_PART_BYTES):
            yield part


def _first_of(positions: Sequence[int], sizes: Mapping[int, int]) -> list[int]:
    first: list[int] = []
    size = 0
    for position in positions:
        size += sizes.get(position, 0)
        if first and size > _AT_ONCE_BYTES:
            break
        first.append(position)
    return first


def _folder_in(spool: Path) -> Path:
    with disk_in_words(_BRINGING):
        spool.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="uploads-", dir=spool))


def _write(file: BinaryIO, part: bytes) -> None:
    with disk_in_words(_BRINGING):
        file.write(part)
