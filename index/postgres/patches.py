"""Changing a document in place, as ``index.document_patch`` says."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Container
from typing import Any

from index.codec import encode_metadata
from index.document_patch import merged_metadata
from index.errors import VersionConflict
from index.postgres.database import Record, columns_of
from index.postgres.documents import COLUMNS, stored_document
from index.postgres.filterable import encode_filterable
from index.postgres.tables import LIVING
from index.postgres.text import decode_optional, decode_text, encode_text
from index.postgres.times import optional_moment_of
from index.postgres.words import encode_words
from index.postgres.writer import Turn
from index.rows import Document, DocumentPatch, Kept, StoredDocument, Tokenizer


async def apply(
    turn: Turn,
    document_id: str,
    patch: DocumentPatch,
    versions: Container[int] | None,
    tokenizer: Tokenizer,
) -> StoredDocument | None:
    """The document as it is now, one version later; None if there is none of that id.

    Raises:
        VersionConflict: it has none of ``versions``.
        InvalidDocument: the merged metadata is over its limits.
    """
    row = await turn.connection.fetchrow(
        f"SELECT {COLUMNS}, NULL, d.key FROM {turn.tables.documents} AS d WHERE d.id = $1 AND {LIVING}",
        document_id,
    )
    if row is None:
        return None
    *columns, key = row
    before = stored_document(columns)
    if versions is not None and before.version not in versions:
        raise VersionConflict(document_id, before.version)
    metadata = encode_metadata(Document(document_id, "", None, merged_metadata(before, patch), ()))
    title = before.title if patch.title is None else patch.title
    if title != before.title:
        await _find_by(turn, key, title, tokenizer)
    expires_at = before.expires_at if isinstance(patch.expires_at, Kept) else patch.expires_at
    (change,) = turn.take_changes(1)
    after = await turn.connection.fetchrow(
        f"UPDATE {turn.tables.documents} AS d SET title = $2, metadata = $3, filterable = $4,"
        " expires_at = $5, version = version + 1, content_hash = '', updated_at = $6, change = $7"
        " WHERE key = $1"
        f" RETURNING {COLUMNS}, NULL",
        key,
        encode_text(title),
        metadata,
        encode_filterable(metadata),
        optional_moment_of(expires_at),
        turn.now,
        change,
    )
    assert after is not None
    return stored_document(after)


async def _find_by(turn: Turn, key: int, title: str, tokenizer: Tokenizer) -> None:
    """Have the passages of a document found by the words of another title."""
    passages: list[Record] = await turn.connection.fetch(
        f"SELECT seq, heading, text FROM {turn.tables.passages} WHERE document = $1", key
    )
    if not passages:
        return
    texts = [(title, decode_text(heading), decode_optional(text)) for _, heading, text in passages]
    words = encode_words(tokenizer, texts)
    rows: list[tuple[Any, ...]] = [(row[0], *found) for row, found in zip(passages, words, strict=True)]
    await turn.connection.execute(
        f"UPDATE {turn.tables.passages} AS p SET words = new.words, words_count = new.words_count"
        " FROM unnest($1::bigint[], $2::tsvector[], $3::integer[]) AS new (seq, words, words_count)"
        " WHERE p.seq = new.seq",
        *columns_of(rows),
    )
