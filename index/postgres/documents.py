"""Documents in SQL: reading them back."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Sequence
from typing import Any, Final

from index.codec import decode_json, timestamp
from index.postgres.database import Reader, Record
from index.postgres.tables import LIVING, Tables
from index.postgres.text import askable, decode_optional, decode_text, first_behind
from index.postgres.times import optional_text_of
from index.rows import Revision, Stamps, StoredDocument

COLUMNS: Final = (
    "d.id, d.title, d.metadata, d.version, d.content_hash, d.passages, d.tokens, d.characters, d.media_type,"
    " d.is_point, d.expires_at, d.acl, d.created_at, d.updated_at"
)


async def by_id(
    reader: Reader, tables: Tables, id_: str, *, with_text: bool = False
) -> StoredDocument | None:
    """The document of that id."""
    text = "d.text" if with_text else "NULL"
    row = await reader.row(
        f"SELECT {COLUMNS}, {text} FROM {tables.documents} AS d WHERE d.id = ANY($1) AND {LIVING}",
        askable([id_]),
    )
    return stored_document(row) if row else None


async def listed(reader: Reader, tables: Tables, limit: int, after: str | None) -> list[StoredDocument]:
    """Up to ``limit`` documents in order of id, behind the id ``after``."""
    rows = await reader.fetch(
        f"SELECT {COLUMNS}, NULL FROM {tables.documents} AS d WHERE d.id >= $1 AND {LIVING}"
        " ORDER BY d.id LIMIT $2",
        first_behind(after),
        limit,
    )
    return [stored_document(row) for row in rows]


async def revisions(reader: Reader, tables: Tables, ids: Sequence[str]) -> dict[str, Revision]:
    """The revision of each of these documents that exists."""
    rows = await reader.fetch(
        f"SELECT d.id, d.version, d.content_hash FROM {tables.documents} AS d"
        f" WHERE d.id = ANY($1) AND {LIVING}",
        askable(ids),
    )
    return {id_: Revision(version, content_hash) for id_, version, content_hash in rows}


async def stamps(reader: Reader, tables: Tables, ids: Sequence[str]) -> dict[str, Stamps]:
    """The stamps of each of these documents that exists."""
    rows = await reader.fetch(
        f"SELECT d.id, d.version, d.created_at, d.updated_at FROM {tables.documents} AS d"
        f" WHERE d.id = ANY($1) AND {LIVING}",
        askable(ids),
    )
    return {
        id_: Stamps(version, timestamp(created_at), timestamp(updated_at))
        for id_, version, created_at, updated_at in rows
    }


def stored_document(row: Record | Sequence[Any]) -> StoredDocument:
    """From a row of ``COLUMNS`` and a text."""
    (id_, title, metadata, version, content_hash, passages, tokens, characters, media_type, *rest) = row
    is_point, expires_at, acl, created_at, updated_at, text = rest
    return StoredDocument(
        id=id_,
        title=decode_text(title),
        metadata=decode_json(metadata),
        version=version,
        content_hash=content_hash,
        passages=passages,
        tokens=tokens,
        characters=characters,
        media_type=decode_text(media_type),
        is_point=is_point,
        expires_at=optional_text_of(expires_at),
        acl=tuple(map(decode_text, acl)),
        created_at=timestamp(created_at),
        updated_at=timestamp(updated_at),
        text=decode_optional(text),
    )
