"""What ``truth.db`` says when a collection is opened: its settings, and when it is searched: every vector.

A file is made once, by ``create``, in a folder that nobody sees yet.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from index import full_text, mapped
from index.blocks import Block, Keys
from index.codec import searchable, timestamp
from index.database import open_for_writing, translate
from index.errors import StorageFailed
from index.living import EXPIRED_SEQS
from index.rows import CollectionSettings
from index.vectors import BLOCK_ROWS, VectorTable
from index.writer import Change

_MAX_SEQ: Final = 2**63 - 1
_COLUMNS: Final = (
    "dim, metric, model, model_revision, model_sha256, description, token_vectors, tokenizer, quantization,"
    " chunk_tokens"
)
_INSERT: Final = (
    f"INSERT INTO settings (only_row, {_COLUMNS}, created_at)"  # noqa: S608
    " VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
            settings.quantization,
            settings.chunk_tokens,
        )
        try:
            connection.execute(_INSERT, (*values, timestamp()))
            full_text.cut_by(connection, settings.tokenizer)
        except sqlite3.Error as error:
            raise translate(error, folder) from error


def read_settings(connection: sqlite3.Connection, name: str) -> CollectionSettings:
    """What the collection is.

    Raises:
        StorageFailed: the file cannot be read, or is not a collection's.
    """
    try:
        row = connection.execute(f"SELECT {_COLUMNS} FROM settings").fetchone()  # noqa: S608
    except sqlite3.Error as error:
        raise translate(error) from error
    if row is None:
        raise StorageFailed(f"collection {name!r} has no settings")
    return CollectionSettings(name, *row)


def load_vectors(connection: sqlite3.Connection, settings: CollectionSettings, folder: Path) -> VectorTable:
    """A table with the vectors of all that has not expired: mapped where ``folder`` has files of them, read
    from SQLite where not.

    Raises:
        StorageFailed: a vector cannot be read, or is not one of this collection.
    """
    table = VectorTable(settings.dim, settings.metric)
    rows = mapped.load(folder, settings.dim, settings.metric)
    if rows:
        seqs, documents = _all_rows(connection)
        for part in rows:
            if block := _mapped_block(part, seqs, documents):
                _read_vectors(connection, table, settings, before=int(part.seqs[0]))
                table.adopt(block)
            else:
                part.file.path.unlink(missing_ok=True)
    _read_vectors(connection, table, settings)
    table.remove(_expired_seqs(connection))
    return table


def _expired_seqs(connection: sqlite3.Connection) -> Keys:
    """Whoever hides what has expired may have come to these when there was no table to hide them in, and a
    graph that was stored after they were hidden does not have them.
    """
    rows = connection.execute(f"SELECT seq FROM passages WHERE seq IN {EXPIRED_SEQS}")  # noqa: S608
    return np.array([row[0] for row in rows], dtype=np.int64)


def _all_rows(connection: sqlite3.Connection) -> tuple[Keys, Keys]:
    """The seqs (n,) of all passages, ascending, and the keys of their documents (n,)."""
    # The index has both, and is a hundredth of the table.
    found = connection.execute("SELECT seq, document FROM passages INDEXED BY passages_of_document")
    parts = [np.empty((0, 2), dtype=np.int64)]
    while batch := found.fetchmany(BLOCK_ROWS):
        parts.append(np.array(batch, dtype=np.int64))
    pairs = np.concatenate(parts)
    pairs = pairs[np.argsort(pairs[:, 0])]
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def _mapped_block(rows: mapped.MappedRows, seqs: Keys, documents: Keys) -> Block | None:
    """The mapped rows, those alive that the truth has; None if they lack one between their first and last,
    or none is left.
    """
    low, high = np.searchsorted(seqs, [rows.seqs[0], rows.seqs[-1] + 1])
    expected = seqs[low:high]
    places = np.searchsorted(rows.seqs, expected)
    if low == high or not np.array_equal(rows.seqs[places], expected):
        return None
    live, keys = np.zeros(len(rows.seqs), dtype=np.bool_), np.zeros(len(rows.seqs), dtype=np.int64)
    live[places], keys[places] = True, documents[low:high]
    return Block(rows.vectors, rows.seqs, keys, live, rows.file)


def _read_vectors(
    connection: sqlite3.Connection,
    table: VectorTable,
    settings: CollectionSettings,
    *,
    before: int = _MAX_SEQ,
) -> None:
    """Append what SQLite has behind the last row of the table, up to the seq ``before``."""
    rows = connection.execute(
        "SELECT seq, document, vector FROM passages WHERE seq > ? AND seq < ? ORDER BY seq",
        (table.last_seq, before),
    )
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


def write_description(connection: sqlite3.Connection, description: str) -> Change[None]:
    """Change the one setting that may change."""
    connection.execute("UPDATE settings SET description = ?", (description,))
    return Change(None, description=description)
