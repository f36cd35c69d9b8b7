"""Documents in SQL: reading them back."""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from index.codec import decode_json, encode_ids, encode_json, encode_place
from index.living import LIVING, NOW
from index.readers import Readers
from index.rows import Revision, StoredDocument

COLUMNS: Final = (
    "d.id, d.title, d.metadata, d.version, d.content_hash, d.passages, d.tokens, d.characters, d.media_type,"
    " d.is_point, d.expires_at, d.acl, d.created_at, d.updated_at"
)


async def by_id(readers: Readers, id_: str, *, with_text: bool) -> StoredDocument | None:
    """The document of that id."""
    text = "t.text" if with_text else "NULL"
    rows = await readers.rows(
        f"SELECT {COLUMNS}, {text} FROM documents AS d LEFT JOIN texts AS t ON t.document = d.key"
        f" WHERE d.id IN (SELECT value FROM json_each(?)) AND {LIVING}",
        (encode_ids([id_]),),
    )
    return stored_document(rows[0]) if rows else None


async def listed(readers: Readers, limit: int, after: str | None) -> list[StoredDocument]:
    """Up to ``limit`` documents in order of id, behind the id ``after``."""
    rows = await readers.rows(
        f"SELECT {COLUMNS}, NULL FROM documents AS d WHERE d.id > CAST(? AS TEXT) AND {LIVING}"
        " ORDER BY d.id LIMIT ?",
        (encode_place(after), limit),
    )
    return [stored_document(row) for row in rows]


async def revisions(readers: Readers, ids: Sequence[str]) -> dict[str, Revision]:
    """The revision of each of these documents that exists."""
    rows = await readers.rows(
        "SELECT d.id, d.version, d.content_hash FROM documents AS d"
        f" WHERE d.id IN (SELECT value FROM json_each(?)) AND {LIVING}",
        (encode_ids(ids),),
    )
    return {id_: Revision(version, content_hash) for id_, version, content_hash in rows}


async def count(readers: Readers) -> int:
    """How many documents there are."""
    expired = f"SELECT count(*) FROM documents WHERE expires_at <= {NOW}"
    number: int = (await readers.rows(f"SELECT count(*) - ({expired}) FROM documents"))[0][0]
    return number


def stored_document(row: Sequence[Any]) -> StoredDocument:
    """From a row of ``COLUMNS`` and a text."""
    (id_, title, metadata, version, content_hash, passages, tokens, characters, media_type, *rest) = row
    is_point, expires_at, acl, created_at, updated_at, text = rest
    return StoredDocument(
        id=id_,
        title=title,
        metadata=decode_json(metadata),
        version=version,
        content_hash=content_hash,
        passages=passages,
        tokens=tokens,
        characters=characters,
        media_type=media_type,
        is_point=bool(is_point),
        expires_at=expires_at,
        acl=tuple(decode_json(acl)),
        created_at=created_at,
        updated_at=updated_at,
        text=text,
    )


def encode_document(document: StoredDocument | None) -> str | None:
    """A document without its text, as JSON."""
    if document is None:
        return None
    return encode_json({**asdict(document), "content_hash": document.content_hash.hex()})


def decode_document(encoded: str) -> StoredDocument:
    """What ``encode_document`` was given."""
    fields = decode_json(encoded)
    content_hash, acl = bytes.fromhex(fields["content_hash"]), tuple(fields["acl"])
    return StoredDocument(**{**fields, "content_hash": content_hash, "acl": acl})
