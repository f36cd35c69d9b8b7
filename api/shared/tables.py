"""The tables of this package, as the steps that lead to them. A step that was released is never edited.

Moments are texts as the service writes them, which sort like moments. JSON is kept as text; what users have
written is kept by ``index.postgres.text``.
"""

from collections.abc import Mapping, Sequence
from typing import Final

_CREATE: Final = (
    # How often what a topic is about was changed, so that who has it in memory hears of it.
    "CREATE TABLE news (topic text PRIMARY KEY, number bigint NOT NULL)",
    """CREATE TABLE keys (
        id text COLLATE "C" PRIMARY KEY,
        name text NOT NULL,
        digest bytea NOT NULL,
        scope text NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        collections text,
        acl text,
        expires_at text COLLATE "C",
        revoked_at text COLLATE "C",
        requests_per_minute bigint,
        tokens_per_minute bigint
    )""",
    """CREATE TABLE models (
        name text COLLATE "C" PRIMARY KEY,
        kind text NOT NULL,
        source text NOT NULL,
        description text NOT NULL,
        revision text,
        sha256 text,
        allow_pickle boolean NOT NULL,
        enabled boolean NOT NULL,
        size_bytes bigint,
        created_at text COLLATE "C" NOT NULL,
        updated_at text COLLATE "C" NOT NULL
    )""",
    """CREATE TABLE conversations (
        id text COLLATE "C" PRIMARY KEY,
        title text NOT NULL,
        model text,
        retrieval text,
        metadata text NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        updated_at text COLLATE "C" NOT NULL,
        expires_at text COLLATE "C",
        lasts double precision,
        messages integer NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX conversations_by_expiry ON conversations (expires_at) WHERE expires_at IS NOT NULL",
    """CREATE TABLE messages (
        conversation text COLLATE "C" NOT NULL REFERENCES conversations ON DELETE CASCADE,
        position integer NOT NULL,
        id text NOT NULL,
        role text NOT NULL,
        content text NOT NULL,
        created_at text NOT NULL,
        details text NOT NULL,
        PRIMARY KEY (conversation, position)
    )""",
    # Levels may be lost in a crash, which costs a minute's use: they are not worth a wait for the disk.
    """CREATE UNLOGGED TABLE buckets (
        caller text COLLATE "C" PRIMARY KEY,
        requests double precision NOT NULL,
        tokens double precision NOT NULL,
        at timestamptz NOT NULL,
        admitted boolean NOT NULL
    ) WITH (fillfactor = 50)""",
)

PARTS: Final[Mapping[str, Sequence[Sequence[str]]]] = {"service": (_CREATE,)}
"""As `index.postgres.opening.open_database` takes them."""

TELL: Final = "INSERT INTO news VALUES ($1, 1) ON CONFLICT (topic) DO UPDATE SET number = news.number + 1"
"""In the transaction that changes what the topic is about."""
