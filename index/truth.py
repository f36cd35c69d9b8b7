"""What ``truth.db`` says when a collection is opened: its settings, and every vector.

A file is made once, by ``create``, in a folder that nobody sees yet.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from index import full_text
from index.codec import searchable, timestamp
from index.database import open_for_writing, translate
from index.errors import StorageFailed
from index.rows import CollectionSettings
from index.vectors import BLOCK_ROWS, VectorTable
from index.writer import Change

_COLUMNS: Final = "dim, metric, model, model_revision, model_sha256, description, token_vectors, tokenizer"
_INSERT: Final = (
    f"INSERT INTO settings (only_row, {_COLUMNS}, created_at) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
)


def create(folder: Path, settings: CollectionSettings) -> None:
    """Make ``truth.db`` in an existing folder.

    Raises:
        StorageFailed, StorageFull: SQLite refused.
    """
    with closing(open_for_writing(folder)) as connection:
        values = (
            settings.dim,
            settings.metric,
            settings.model,
            settings.model_revision,
            settings.model_sha256,
            settings.description,
            settings.token_vectors,
            settings.tokenizer,
        )
        try:
            connection.execute(_INSERT, (*values, timestamp()))
            full_text.cut_by(connection, settings.tokenizer)
        except sqlite3.Error as error:
            raise translate(error, folder) from error


def read(connection: sqlite3.Connection, name: str) -> tuple[CollectionSettings, VectorTable]:
    """The settings, and a table with all vectors.

    Raises:
        StorageFailed: the file cannot be read, or is not a collection's.
    """
    try:
        row = connection.execute(f"SELECT {_COLUMNS} FROM settings").fetchone()  # noqa: S608
        if row is None:
            raise StorageFailed(f"collection {name!r} has no settings")
        settings = CollectionSettings(name, *row)
        return settings, _load_vectors(connection, settings)
    except sqlite3.Error as error:
        raise translate(error) from error


def _load_vectors(connection: sqlite3.Connection, settings: CollectionSettings) -> VectorTable:
    table = VectorTable(settings.dim, settings.metric)
    rows = connection.execute("SELECT seq, document, vector FROM passages ORDER BY seq")
    while batch := rows.fetchmany(BLOCK_ROWS):
        seqs, keys, blobs = zip(*batch, strict=True)
        vectors = np.frombuffer(b"".join(blobs), dtype="<f4")
        if any(len(blob) != 4 * settings.dim for blob in blobs):
            raise StorageFailed(
                f"a vector of collection {settings.name!r} does not have {settings.dim} numbers"
            )
        table.append(
            np.array(seqs, dtype=np.int64),
            np.array(keys, dtype=np.int64),
            searchable(vectors.reshape(-1, settings.dim), settings.metric),
        )
    return table


def write_description(connection: sqlite3.Connection, description: str) -> Change[None]:
    """Change the one setting that may change."""
    connection.execute("UPDATE settings SET description = ?", (description,))
    return Change(None)
