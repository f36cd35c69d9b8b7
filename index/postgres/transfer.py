"""Documents with everything that belongs to them, read out as they were written."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from index.codec import decode_json, timestamp
from index.postgres.database import Reader, Record
from index.postgres.tables import LIVING, Tables
from index.postgres.text import decode_optional, decode_text, first_behind
from index.postgres.times import optional_text_of
from index.rows import Document, DocumentCopy, Passage, Stamps
from index.transfer import CHARACTERS, PAGE_PASSAGES

# Of a document d and its passage p. A text comes with the first passage only.
COLUMNS: Final = (
    "d.id, d.title, d.metadata, d.version, d.content_hash, d.media_type, d.is_point, d.expires_at, d.acl,"
    " d.created_at, d.updated_at,"
    " CASE WHEN row_number() OVER (PARTITION BY d.key ORDER BY p.seq) = 1 THEN d.text END,"
    " p.seq, p.text, p.start, p.stop, p.page, p.heading, p.tokens, p.vector, p.token_vectors,"
    " p.digest"
)
_DOCUMENT_COLUMNS: Final = 12


async def read_page(reader: Reader, tables: Tables, after: str | None) -> list[DocumentCopy]:
    """The next documents by id (code points) behind the id ``after``; none at the end."""
    rows = await reader.fetch(
        f"WITH weighed AS (SELECT d.key, d.id, d.passages + d.characters / {CHARACTERS} AS weight"
        f" FROM {tables.documents} AS d WHERE d.id >= $1 AND {LIVING} ORDER BY d.id LIMIT $2),"
        " page AS (SELECT key, sum(weight) OVER (ORDER BY id) - weight AS before FROM weighed)"
        f" SELECT {COLUMNS} FROM page JOIN {tables.documents} AS d ON d.key = page.key"
        f" LEFT JOIN {tables.passages} AS p ON p.document = d.key"
        " WHERE page.before < $2 ORDER BY d.id, p.seq",
        first_behind(after),
        PAGE_PASSAGES,
    )
    return [copy_of_rows(list(group)) for _, group in groupby(rows, key=itemgetter(0))]


def copy_of_rows(rows: Sequence[Record | Sequence[Any]]) -> DocumentCopy:
    """A document from its rows of ``COLUMNS``, one for each passage."""
    (id_, title, metadata, version, content_hash, media_type, is_point, *rest) = rows[0][:_DOCUMENT_COLUMNS]
    expires_at, acl, created_at, updated_at, text = rest
    document = Document(
        id=id_,
        title=decode_text(title),
        text=decode_optional(text),
        metadata=decode_json(metadata),
        passages=tuple(
            _passage(row[_DOCUMENT_COLUMNS:]) for row in rows if row[_DOCUMENT_COLUMNS] is not None
        ),
        content_hash=content_hash,
        media_type=decode_text(media_type),
        is_point=is_point,
        expires_at=optional_text_of(expires_at),
        acl=tuple(map(decode_text, acl)),
    )
    return DocumentCopy(document, Stamps(version, timestamp(created_at), timestamp(updated_at)))


def _passage(row: Sequence[Any]) -> Passage:
    _, text, start, end, page, heading, tokens, vector, packed, digest = row
    heading = decode_text(heading)
    return Passage(decode_optional(text), start, end, vector, page, heading, tokens, packed, digest)
