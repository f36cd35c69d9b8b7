"""Documents with everything that belongs to them, read out as they were written: in the order of their ids,
and in that of their last changes.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

import hashlib
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from index.codec import decode_json, timestamp
from index.errors import CollectionNotFound, HistoryLost
from index.postgres.database import Database
from index.postgres.tables import LIVING, Tables
from index.postgres.text import decode_optional, decode_text, first_behind
from index.postgres.times import optional_text_of
from index.rows import Changes, Document, DocumentCopy, Passage, Stamps
from index.transfer import CHARACTERS, PAGE_PASSAGES

_WEIGHT: Final = f"passages + characters / {CHARACTERS}"
_DOCUMENT: Final = (
    "d.id, d.title, d.text, d.metadata, d.version, d.content_hash, d.media_type, d.is_point, d.expires_at,"
    " d.acl, d.created_at, d.updated_at"
)
_DOCUMENT_COLUMNS: Final = 12
_PASSAGE: Final = "text, start, stop, page, heading, tokens, vector, token_vectors"
# All passages of a document in one row, so that its text comes once.
_PASSAGES: Final = (
    "(SELECT array_agg(ROW(p.text, p.start, p.stop, p.page, p.heading, p.tokens, p.vector, p.token_vectors)"
    " ORDER BY p.seq) FROM {passages} AS p WHERE p.document = d.key)"
)


async def read_page(database: Database, tables: Tables, after: str | None) -> list[DocumentCopy]:
    """The next documents by id (code points) behind the id ``after``; none at the end."""
    rows = await database.fetch(
        f"WITH weighed AS (SELECT d.key, d.id, {_WEIGHT} AS weight FROM {tables.documents} AS d"
        f" WHERE d.id >= $1 AND {LIVING} ORDER BY d.id LIMIT $2),"
        " page AS (SELECT key, sum(weight) OVER (ORDER BY id) - weight AS before FROM weighed)"
        f" SELECT {_DOCUMENT}, {_PASSAGES.format(passages=tables.passages)} FROM page"
        f" JOIN {tables.documents} AS d ON d.key = page.key WHERE page.before < $2 ORDER BY d.id",
        first_behind(after),
        PAGE_PASSAGES,
    )
    return [_copy(row) for row in rows]
