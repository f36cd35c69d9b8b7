"""A file with documents, as filters see them, without a collection around it."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

Row: TypeAlias = tuple[str, dict[str, Any]]


@contextmanager
def truth_with(rows: Sequence[Row]) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A file with the documents of these rows; the key of each is its number."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "truth.db"
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE documents (key INTEGER PRIMARY KEY, id TEXT, metadata TEXT, acl TEXT DEFAULT '[]')"
        )
        connection.executemany(
            "INSERT INTO documents (key, id, metadata) VALUES (?, ?, ?)",
            [(n, id_, json.dumps(metadata, ensure_ascii=False)) for n, (id_, metadata) in enumerate(rows)],
        )
        connection.commit()
        try:
            yield path, connection
        finally:
            connection.close()
