"""Rows in an SQLite file. Blocks, and is used by one thread.

Nothing here ever raises: the file is a convenience. One that is damaged, or is no such file, is set aside
under another name and a new one is begun; where that fails, too, it is done without.

Invariant: a row that is read has the checksum it was written with.
"""

import itertools
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

_APPLICATION = 0x656D6264  # "embd"
_FORMAT = 1
_AT_ONCE = 500
_SIDE_FILES = ("", "-wal", "-shm")
_LOCK_TIMEOUT_S = 0.5

_log = structlog.get_logger()


class CacheFile:
    """The rows in ``path``: at most about ``limit_bytes`` of them, the oldest given up first."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Opens the file, or a new one in the place of one that cannot be used."""
        with self._guarded("opened"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _connect(self._path)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The rows that are there, by their keys."""
        found: dict[bytes, bytes] = {}
        with self._guarded("read"):
            for first in range(0, len(keys), _AT_ONCE):
                found.update(self._select(keys[first : first + _AT_ONCE]))
        return found

    def write(self, rows: Mapping[bytes, bytes]) -> None:
        """Adds ``rows``, and makes room for them first if need be."""
        with self._guarded("written"):
            if self._database is not None:
                with self._database as database:
                    self._make_room(database, 2 * len(rows))
                    database.executemany(
                        "INSERT OR REPLACE INTO rows (key, row, sum) VALUES (?, ?, ?)",
                        [(key, row, zlib.crc32(row)) for key, row in rows.items()],
                    )

    def _select(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        if self._database is None:
            return
        places = ", ".join("?" * len(keys))
        query = f"SELECT key, row, sum FROM rows WHERE key IN ({places})"  # noqa: S608 - places for values
        for key, row, checksum in self._database.execute(query, keys):
            if zlib.crc32(row) == checksum:
                yield key, row

    def _make_room(self, database: sqlite3.Connection, count: int) -> None:
        """Gives up the oldest ``count`` rows of a full file; later rows take their pages."""
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > self._limit_bytes:
            oldest = "SELECT rowid FROM rows ORDER BY rowid LIMIT ?"
            database.execute(f"DELETE FROM rows WHERE rowid IN ({oldest})", (count,))  # noqa: S608 - constant

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Answers whatever SQLite raises: a damaged file is replaced, anything else lets the file be."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:  # a full disk, no rights, locked by somebody
            _log.warning("cache_file_not_used", path=str(self._path), reason=f"not {what}: {error}")
        except sqlite3.DatabaseError as error:
            self._start_afresh(f"not {what}: {error}")

    def _start_afresh(self, reason: str) -> None:
        self.close()
        try:
            aside = _set_aside(self._path)
            self._database = _connect(self._path)
        except (sqlite3.Error, OSError) as error:
            _log.warning("cache_file_not_used", path=str(self._path), reason=f"{reason}; {error}")
        else:
            _log.warning("cache_file_set_aside", path=str(self._path), aside=str(aside), reason=reason)


def _connect(path: Path) -> sqlite3.Connection:
    """The file's connection; raises ``sqlite3.DatabaseError`` if it is no file of this format."""
    database = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, check_same_thread=False)
    try:
        _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and (application, version) != (_APPLICATION, _FORMAT):
        raise sqlite3.DatabaseError("it is another program's database, or another version's")
    database.executescript(
        f"""
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA application_id = {_APPLICATION};
        PRAGMA user_version = {_FORMAT};
        CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, row BLOB NOT NULL, sum INTEGER NOT NULL);
        """
    )


def _set_aside(path: Path) -> Path:
    """Gives the file, and what SQLite keeps beside it, a name that is free."""
    names = (path.with_name(f"{path.name}.set-aside-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    for suffix in _SIDE_FILES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
