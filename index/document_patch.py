"""Changing a document in place: its metadata by a merge patch, its title, when it expires.

Passages, their vectors and their row numbers stay, so nothing is embedded again; under a new title the words
of the passages are. A document that was patched is no longer what a client sent as a whole, so its content
hash is dropped: sent again it is written again.
"""

import sqlite3
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from index.codec import check_document, encode_json, encode_metadata, timestamp
from index.documents import COLUMNS, stored_document
from index.errors import VersionConflict
from index.history import next_moments
from index.living import LIVING
from index.rows import Document, DocumentPatch, Kept, StoredDocument
from index.vectors import Keys
from index.writer import Change, WrittenDocuments


def check(document_id: str, patch: DocumentPatch) -> None:
    """What can be said before the document is read.

    Raises:
        InvalidDocument: the patch itself is over the limits of metadata, or holds what cannot be stored.
    """
    expires_at = None if isinstance(patch.expires_at, Kept) else patch.expires_at
    bare = Document(document_id, patch.title or "", None, patch.metadata or {}, (), expires_at=expires_at)
    check_document(bare)
    encode_metadata(bare)


def apply(
    connection: sqlite3.Connection, document_id: str, patch: DocumentPatch, versions: Container[int] | None
) -> Change[StoredDocument | None]:
    """The document as it is now, one version later; None if there is none of that id.

    Raises:
        VersionConflict: it has none of ``versions``.
        InvalidDocument: the merged metadata is over its limits.
    """
    found = _read(connection, f"d.id = ? AND {LIVING}", document_id)
    if found is None:
        return Change(None)
    key, before = found
    if versions is not None and before.version not in versions:
        raise VersionConflict(document_id, before.version)
    metadata = encode_metadata(Document(document_id, "", None, merged_metadata(before, patch), ()))
    reworded = None
    if patch.title is not None and patch.title != before.title:
        reworded = _rename(connection, key, patch.title)
    expires_at = before.expires_at if isinstance(patch.expires_at, Kept) else patch.expires_at
    connection.execute(
        "UPDATE documents SET metadata = ?, expires_at = ?, version = version + 1, content_hash = x'',"
        " updated_at = ?, change = ? WHERE key = ?",
        (metadata, expires_at, timestamp(), next_moments(connection, 1)[0], key),
    )
    after = _read(connection, "d.key = ?", key)
    assert after is not None
    written = WrittenDocuments([key], [document_id], [metadata], [encode_json(before.acl)])
    return Change(after[1], written=written, reworded=reworded, expires_at=expires_at)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396: objects are merged key by key, null removes a key, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def merged_metadata(before: StoredDocument, patch: DocumentPatch) -> Mapping[str, Any]:
    """The metadata that the document has behind the patch."""
    if patch.metadata is None:
        return before.metadata
    merged: dict[str, Any] = merge(before.metadata, patch.metadata)
    return merged


def _read(
    connection: sqlite3.Connection, condition: str, value: str | int
) -> tuple[int, StoredDocument] | None:
    """The key and the document for which a constant of this module holds."""
    sql = f"SELECT d.key, {COLUMNS}, NULL FROM documents AS d WHERE {condition}"  # noqa: S608
    row: Sequence[Any] | None = connection.execute(sql, (value,)).fetchone()
    return None if row is None else (row[0], stored_document(row[1:]))


def _rename(connection: sqlite3.Connection, key: int, title: str) -> Keys:
    """The rows whose words are others now. FTS5 must be told what it had indexed before that changes."""
    seqs = [row[0] for row in connection.execute("SELECT seq FROM passages WHERE document = ?", (key,))]
    words = "seq, title, text FROM passage_words WHERE seq IN (SELECT seq FROM passages WHERE document = ?)"
    connection.execute(f"INSERT INTO words (words, rowid, title, text) SELECT 'delete', {words}", (key,))
    connection.execute("UPDATE documents SET title = ? WHERE key = ?", (title, key))
    connection.execute(f"INSERT INTO words (rowid, title, text) SELECT {words}", (key,))
    return np.array(seqs, dtype=np.int64)
