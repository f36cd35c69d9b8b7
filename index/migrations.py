"""The schema of collections, as the list of steps that lead to it: in ``truth.db`` of a data folder, and in
a PostgreSQL.

The list only ever grows: a step that was released is never edited. Behind a step the two keep the same facts,
so its number means the same in both; ``PRAGMA user_version`` and the table ``version`` count the steps. Each
step and its count commit together. The step at which PostgreSQL came makes all that it has by then.

Invariants of the schema of ``truth.db``:

* Passages are replaced, never changed, and AUTOINCREMENT never gives a key twice. So a ``seq`` names one
  vector and one text for ever, and it is the label of the row in the graph too. Of a document the title, the
  metadata and when it expires may change in place.
* ``words`` is an index over ``passage_words`` that copies no text. Rows leave it before their passage does.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from index.errors import DataTooNew
from index.postgres import schema

Migration = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What one step does to a ``truth.db``, and the statements that do the same to a PostgreSQL."""

    sqlite: Migration
    postgres: tuple[str, ...] = ()


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration] | None = None) -> None:
    """Bring the file to the newest format.

    Raises:
        DataTooNew: a newer version of this program wrote it; nothing was touched.
    """
    steps = MIGRATIONS if steps is None else steps
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > len(steps):
        raise DataTooNew(found, len(steps))
    for number, step in enumerate(steps[found:], start=found + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            step(connection)
            connection.execute(f"PRAGMA user_version = {number}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in _FIRST_SCHEMA:
        connection.execute(statement)


_FIRST_SCHEMA: Final = (
    """CREATE TABLE settings (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        dim INTEGER NOT NULL,
        metric TEXT NOT NULL,
        model TEXT,
        model_revision TEXT,
        model_sha256 TEXT,
        description TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE documents (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL,
        metadata TEXT NOT NULL,
        version INTEGER NOT NULL,
        content_hash BLOB NOT NULL,
        passages INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        characters INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        is_point INTEGER NOT NULL,
        expires_at TEXT,
        acl TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) STRICT""",
    # Apart, so that a scan over metadata does not read whole books.
    """CREATE TABLE texts (
        document INTEGER PRIMARY KEY REFERENCES documents (key) ON DELETE CASCADE,
        text TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE passages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
        id TEXT NOT NULL UNIQUE,
        start INTEGER NOT NULL,
        stop INTEGER NOT NULL,
        page INTEGER,
        heading TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        text TEXT,
        vector BLOB NOT NULL
    ) STRICT""",
    "CREATE INDEX passages_of_document ON passages (document)",
    """CREATE VIEW passage_words AS
        SELECT p.seq, trim(d.title || ' ' || p.heading) AS title, coalesce(p.text, '') AS text
        FROM passages AS p JOIN documents AS d ON d.key = p.document""",
    """CREATE VIRTUAL TABLE words USING fts5 (
        title, text, content = 'passage_words', content_rowid = 'seq', tokenize = 'porter unicode61'
    )""",
    """CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        number INTEGER NOT NULL UNIQUE,
        total INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        finished_at TEXT
    ) STRICT""",
    """CREATE TABLE job_items (
        job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        payload BLOB,
        result TEXT,
        failed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (job, position)
    ) STRICT, WITHOUT ROWID""",
)


def _keep_token_vectors(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE settings ADD COLUMN token_vectors TEXT")
    # Apart, because they are ten times as large as all else that a passage has.
    connection.execute(
        """CREATE TABLE token_vectors (
            passage INTEGER PRIMARY KEY REFERENCES passages (seq) ON DELETE CASCADE,
            packed BLOB NOT NULL
        ) STRICT"""
    )


def _prepare_for_writers(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE settings ADD COLUMN tokenizer TEXT NOT NULL DEFAULT 'porter'")
    connection.execute(
        "CREATE INDEX documents_by_expiry ON documents (expires_at) WHERE expires_at IS NOT NULL"
    )
    # What was answered to a request that brought a key, so that the same request is not carried out twice.
    connection.execute(
        """CREATE TABLE idempotency (
            key TEXT PRIMARY KEY,
            fingerprint BLOB NOT NULL,
            answer TEXT NOT NULL,
            created_at TEXT NOT NULL
        ) STRICT, WITHOUT ROWID"""
    )


def _give_identity(connection: sqlite3.Connection) -> None:
    # Tells this collection from every other one, also from one that had its name before.
    connection.execute(
        """CREATE TABLE identity (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            secret BLOB NOT NULL
        ) STRICT"""
    )
    connection.execute("INSERT INTO identity VALUES (1, randomblob(16))")


def _age_idempotency_keys(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE INDEX idempotency_by_age ON idempotency (created_at)")


def _quantise_graphs(connection: sqlite3.Connection) -> None:
    # Graphs that are there have float32 vectors, and go on as they are.
    connection.execute("ALTER TABLE settings ADD COLUMN quantization TEXT NOT NULL DEFAULT 'none'")


def _count_jobs(connection: sqlite3.Connection) -> None:
    # Kept with every receipt, so that whoever watches a job reads one row and not all its items.
    for counter in ("done", "failed", "size_bytes", "done_bytes", "passages", "cancelled"):
        connection.execute(f"ALTER TABLE jobs ADD COLUMN {counter} INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE job_items ADD COLUMN size_bytes INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        "UPDATE jobs SET (done, failed) = (SELECT count(result), coalesce(sum(failed), 0)"
        " FROM job_items WHERE job = jobs.id)"
    )
    connection.execute("CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL")


def _find_equal_passages(connection: sqlite3.Connection) -> None:
    # Of what was embedded: an equal passage can have the same vector. Older ones are embedded once more.
    connection.execute("ALTER TABLE passages ADD COLUMN digest TEXT")
    connection.execute("CREATE INDEX passages_by_digest ON passages (digest) WHERE digest IS NOT NULL")


def _size_chunks(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE settings ADD COLUMN chunk_tokens INTEGER")


def _tell_places_of_words(connection: sqlite3.Connection) -> None:
    # A view of the index: no data of its own.
    connection.execute("CREATE VIRTUAL TABLE places USING fts5vocab (words, 'instance')")


def _keep_history(connection: sqlite3.Connection) -> None:
    # See index.history. What is there is taken as written in the order of its keys.
    connection.execute("ALTER TABLE documents ADD COLUMN change INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE documents SET change = key")
    connection.execute("CREATE INDEX documents_by_change ON documents (change)")
    connection.execute(
        """CREATE TABLE deletions (
            change INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE ON CONFLICT REPLACE,
            deleted_at TEXT NOT NULL
        ) STRICT"""
    )
    connection.execute(
        """CREATE TABLE history (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            last INTEGER NOT NULL,
            forgotten INTEGER NOT NULL
        ) STRICT"""
    )
    connection.execute("INSERT INTO history SELECT 1, coalesce(max(change), 0), 0 FROM documents")


STEPS: Final = (
    Step(_create_tables),
    Step(_keep_token_vectors),
    Step(_prepare_for_writers),
    Step(_give_identity),
    Step(_age_idempotency_keys),
    Step(_quantise_graphs),
    Step(_count_jobs),
    Step(_find_equal_passages),
    Step(_size_chunks),
    Step(_tell_places_of_words),
    Step(_keep_history, schema.CREATE),
)
MIGRATIONS: Final[tuple[Migration, ...]] = tuple(step.sqlite for step in STEPS)
