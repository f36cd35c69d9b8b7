"""The tables that all collections share, as statements of the step that makes them. Knows no connection.

They stand in one schema of the database, which every connection has first on its search path. The tables of
one collection, ``documents_<key>`` and ``passages_<key>``, are in ``tables``.

Invariants:

* Who writes to a collection has its row of ``collections`` locked. So numbers that it gives (``change`` of
  documents and deletions, ``seq`` of passages) become visible in their order.
* No text has U+0000, which PostgreSQL cannot keep: ``text`` says what stands for it.
* Documents' metadata, results and answers are JSON as text, byte for byte what was written.
"""

from typing import Final

CREATE: Final = (
    # A row of a write's every commit: room for it in its page.
    """CREATE TABLE collections (
        key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text COLLATE "C" NOT NULL UNIQUE,
        settings jsonb NOT NULL,
        description text NOT NULL,
        secret bytea NOT NULL,
        created_at timestamptz NOT NULL,
        change bigint NOT NULL DEFAULT 0,
        forgotten bigint NOT NULL DEFAULT 0,
        next_seq bigint NOT NULL DEFAULT 1
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE aliases (
        alias text COLLATE "C" PRIMARY KEY,
        collection bigint NOT NULL REFERENCES collections ON DELETE CASCADE
    )""",
    # Of each document that is gone the last deletion; forgotten after a while, up to the change "forgotten".
    """CREATE TABLE deletions (
        collection bigint NOT NULL REFERENCES collections ON DELETE CASCADE,
        id text COLLATE "C" NOT NULL,
        change bigint NOT NULL,
        deleted_at timestamptz NOT NULL,
        PRIMARY KEY (collection, id)
    )""",
    "CREATE INDEX deletions_by_change ON deletions (collection, change)",
    "CREATE INDEX deletions_by_age ON deletions (deleted_at)",
    """CREATE TABLE jobs (
        collection bigint NOT NULL REFERENCES collections ON DELETE CASCADE,
        id text COLLATE "C" NOT NULL,
        number bigint GENERATED ALWAYS AS IDENTITY,
        total integer NOT NULL,
        done integer NOT NULL DEFAULT 0,
        failed integer NOT NULL DEFAULT 0,
        size_bytes bigint NOT NULL DEFAULT 0,
        done_bytes bigint NOT NULL DEFAULT 0,
        passages bigint NOT NULL DEFAULT 0,
        cancelled boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        finished_at timestamptz,
        holder text,
        lease_until timestamptz,
        PRIMARY KEY (collection, id)
    ) WITH (fillfactor = 80)""",
    "CREATE INDEX jobs_by_number ON jobs (collection, number)",
    "CREATE INDEX jobs_unfinished ON jobs (number) WHERE finished_at IS NULL",
    "CREATE INDEX jobs_by_end ON jobs (collection, finished_at) WHERE finished_at IS NOT NULL",
    """CREATE TABLE job_items (
        collection bigint NOT NULL,
        job text COLLATE "C" NOT NULL,
        position integer NOT NULL,
        payload bytea,
        result text,
        failed boolean NOT NULL DEFAULT false,
        size_bytes bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (collection, job, position),
        FOREIGN KEY (collection, job) REFERENCES jobs ON DELETE CASCADE
    )""",
    # What was answered to a request that brought a key, so that the same request is not carried out twice.
    """CREATE TABLE idempotency (
        collection bigint NOT NULL REFERENCES collections ON DELETE CASCADE,
        key text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        answer text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (collection, key)
    )""",
    "CREATE INDEX idempotency_by_age ON idempotency (created_at)",
    # Files that wait for a job, where every service can reach them, in parts that fit in memory.
    """CREATE TABLE uploads (
        collection bigint NOT NULL REFERENCES collections ON DELETE CASCADE,
        job text COLLATE "C" NOT NULL,
        position integer NOT NULL,
        part integer NOT NULL,
        bytes bytea NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (collection, job, position, part)
    )""",
    "ALTER TABLE uploads ALTER COLUMN bytes SET STORAGE EXTERNAL",
    "ALTER TABLE job_items ALTER COLUMN payload SET STORAGE EXTERNAL",
)
