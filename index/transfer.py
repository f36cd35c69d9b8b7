"""Documents with everything that belongs to them, read out and written in again as they were.

Keys and seqs are not among it: a document that is written in is a new row with its old version and times.
"""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import asyncio
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from index.codec import decode_json, decode_vector, encode_ids, encode_place, timestamp
from index.living import LIVING
from index.readers import Readers
from index.rows import Document, DocumentCopy, Passage, Stamps

# A page holds about so many passages, or text of that many times CHARACTERS; always a whole document.
PAGE_PASSAGES: Final = 512
CHARACTERS: Final = 2048

# Of a document d and its passage p. A text comes with the first passage only.
COLUMNS: Final = """
    d.id, d.title, d.metadata, d.version, d.content_hash, d.media_type, d.is_point,
    d.expires_at, d.acl, d.created_at, d.updated_at,
    CASE WHEN p.seq IS (SELECT min(seq) FROM passages WHERE document = d.key)
        THEN (SELECT text FROM texts WHERE document = d.key) END,
    p.seq, p.text, p.start, p.stop, p.page, p.heading, p.tokens, p.vector,
    (SELECT packed FROM token_vectors WHERE passage = p.seq), p.digest"""
_DOCUMENT_COLUMNS: Final = 12
# One statement, so one committed state of every document.
_PAGE: Final = f"""
    WITH weighed AS (
        SELECT key, id, passages + characters / {CHARACTERS} AS weight
        FROM documents WHERE id > CAST(? AS TEXT) AND (expires_at IS NULL OR expires_at > ?)
        ORDER BY id LIMIT ?
    ), page AS (
        SELECT key, sum(weight) OVER (ORDER BY id) - weight AS before FROM weighed
    )
    SELECT {COLUMNS}
    FROM page CROSS JOIN documents AS d ON d.key = page.key LEFT JOIN passages AS p ON p.document = d.key
    WHERE page.before < ? ORDER BY d.id, p.seq"""


async def read_page(readers: Readers, after: str | None) -> list[DocumentCopy]:
    """The next documents by id (code points) behind the id ``after``; none at the end."""
    rows = await readers.rows(_PAGE, (encode_place(after), timestamp(), PAGE_PASSAGES, PAGE_PASSAGES))
    return await asyncio.to_thread(_copies, rows)


async def stamps_of(readers: Readers, ids: Sequence[str]) -> dict[str, Stamps]:
    """The stamps of those of these documents that are there."""
    # One row for all: between two of them the reader would wait for whoever computes.
    sql = (
        "SELECT json_group_array(json_array(d.id, d.version, d.created_at, d.updated_at)) FROM documents AS d"
        f" WHERE d.id IN (SELECT value FROM json_each(?)) AND {LIVING}"
    )
    ((found,),) = await readers.rows(sql, (encode_ids(ids),))
    return {id_: Stamps(*stamps) for id_, *stamps in decode_json(found)}


def _copies(rows: Sequence[Sequence[Any]]) -> list[DocumentCopy]:
    return [copy_of_rows(list(group)) for _, group in groupby(rows, key=itemgetter(0))]


def copy_of_rows(rows: Sequence[Sequence[Any]]) -> DocumentCopy:
    """A document from its rows of ``COLUMNS``, one for each passage."""
    (id_, title, metadata, version, content_hash, media_type, is_point, *rest) = rows[0][:_DOCUMENT_COLUMNS]
    expires_at, acl, created_at, updated_at, text = rest
    document = Document(
        id=id_,
        title=title,
        text=text,
        metadata=decode_json(metadata),
        passages=tuple(
            _passage(row[_DOCUMENT_COLUMNS:]) for row in rows if row[_DOCUMENT_COLUMNS] is not None
        ),
        content_hash=content_hash,
        media_type=media_type,
        is_point=bool(is_point),
        expires_at=expires_at,
        acl=() if acl == "[]" else tuple(decode_json(acl)),
    )
    return DocumentCopy(document, Stamps(version, created_at, updated_at))


def _passage(row: Sequence[Any]) -> Passage:
    _, text, start, end, page, heading, tokens, vector, packed, digest = row
    return Passage(text, start, end, decode_vector(vector), page, heading, tokens, packed, digest)
