"""The two tables of one collection, of its own so that they have its dimension, its statistics and its
indexes, and go at once when it is dropped.

Rows of ``documents_<key>`` are called ``d`` in SQL, those of ``passages_<key>`` ``p``.
"""

from dataclasses import dataclass
from typing import Final

LIVING: Final = "(d.expires_at IS NULL OR d.expires_at > statement_timestamp())"
"""Holds for a document that is still there, by the server's clock."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Where a collection is: its ``key`` in ``collections``, and the names of its tables."""

    key: int

    @property
    def documents(self) -> str:
        return f"documents_{self.key}"

    @property
    def passages(self) -> str:
        return f"passages_{self.key}"

    @property
    def joined(self) -> str:
        """Passages ``p`` with their documents ``d``."""
        return f"{self.passages} AS p JOIN {self.documents} AS d ON d.key = p.document"


def create(tables: Tables, dim: int) -> tuple[str, ...]:
    """The statements that make them, for vectors of ``dim`` numbers.

    ``metadata`` is the JSON that was written and ``filterable`` what filters see of it, as ``filterable``
    makes it; ``words`` and ``words_count`` are made by ``words``.
    """
    documents, passages = tables.documents, tables.passages
    return (
        f"""CREATE TABLE {documents} (
            key bigint PRIMARY KEY,
            id text COLLATE "C" NOT NULL UNIQUE,
            title text NOT NULL,
            text text,
            metadata text NOT NULL,
            filterable jsonb NOT NULL,
            version bigint NOT NULL,
            content_hash bytea NOT NULL,
            passages integer NOT NULL,
            tokens bigint NOT NULL,
            characters bigint NOT NULL,
            media_type text NOT NULL,
            is_point boolean NOT NULL,
            expires_at timestamptz,
            acl text[] COLLATE "C" NOT NULL DEFAULT '{{}}',
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            change bigint NOT NULL
        )""",
        f"CREATE UNIQUE INDEX {documents}_by_change ON {documents} (change)",
        f"CREATE INDEX {documents}_by_expiry ON {documents} (expires_at) WHERE expires_at IS NOT NULL",
        f"""CREATE TABLE {passages} (
            seq bigint PRIMARY KEY,
            document bigint NOT NULL REFERENCES {documents} ON DELETE CASCADE,
            id text COLLATE "C" NOT NULL UNIQUE,
            start bigint NOT NULL,
            stop bigint NOT NULL,
            page bigint,
            heading text NOT NULL,
            tokens bigint NOT NULL,
            text text,
            vector vector({dim}) NOT NULL,
            token_vectors bytea,
            digest text COLLATE "C",
            words tsvector NOT NULL,
            words_count integer NOT NULL
        )""",
        # Neither gets smaller by being packed again.
        f"ALTER TABLE {passages} ALTER COLUMN vector SET STORAGE EXTERNAL",
        f"ALTER TABLE {passages} ALTER COLUMN token_vectors SET STORAGE EXTERNAL",
        f"CREATE INDEX {passages}_by_document ON {passages} (document)",
        f"CREATE INDEX {passages}_by_word ON {passages} USING gin (words)",
        f"CREATE INDEX {documents}_by_value ON {documents} USING gin (filterable jsonb_path_ops)",
        f"CREATE INDEX {passages}_by_digest ON {passages} USING hash (digest) WHERE digest IS NOT NULL",
    )


def drop(tables: Tables) -> str:
    """The statement that removes them, with all that they hold."""
    return f"DROP TABLE IF EXISTS {tables.passages}, {tables.documents}"
