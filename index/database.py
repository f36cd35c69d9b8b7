"""Opening ``truth.db``, or another file as safely, and SQLite's errors in the store's own words."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from index.errors import DataTooNew, StorageFailed, StorageFull, StoreError
from index.migrations import Migration, migrate

FILE_NAME: Final = "truth.db"
BUSY_TIMEOUT_S: Final = 5.0
# Every commit waits for the disk: synchronous=NORMAL would lose acknowledged commits with the power in WAL
# mode.
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # What is deleted is overwritten.
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_size_limit = 67108864",
    # A bulk write's pages stay in memory until it commits, and wait in the log until there are 16 MB of them:
    # less is written twice. In bench/NOTES.md, "Import and export".
    "PRAGMA cache_size = -8192",
    "PRAGMA wal_autocheckpoint = 4000",
)


def open_for_writing(folder: Path) -> sqlite3.Connection:
    """The writer's connection, migrated; transactions are begun and ended by hand.

    Raises:
        DataTooNew: a newer version wrote the file.
        StorageFailed, StorageFull: SQLite cannot open it.
    """
    return open_file(folder / FILE_NAME)


def open_file(path: Path, steps: Sequence[Migration] | None = None) -> sqlite3.Connection:
    """As ``open_for_writing``, for the file at ``path``, whose format other ``steps`` may lead to."""
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        migrate(connection, steps)
    except DataTooNew as error:
        connection.close()
        raise DataTooNew(error.found, error.known, path) from error
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    return connection


def read_rows(connection: sqlite3.Connection, sql: str) -> list[Any]:
    """All rows; raises ``StoreError``."""
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.Error as error:
        raise translate(error) from error


def translate(error: sqlite3.Error, path: Path | None = None) -> StoreError:
    """The store's error for one of SQLite's: full, or failed for whatever reason SQLite gives."""
    where = f" ({path})" if path else ""
    # Errors raised by the Python wrapper itself carry no code.
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(f"no space is left on the disk{where}; free some and try again")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageFailed(f"SQLite refused: {error} [{name}]{where}")
