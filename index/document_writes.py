"""Documents in SQL: writing them with their passages, words and vectors, and deleting them.

The functions that take a connection run inside a transaction of the writer and give the change that memory
must follow.
"""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import json
import sqlite3
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from index import writer
from index.codec import (
    check_document,
    encode_ids,
    encode_json,
    encode_metadata,
    encode_vectors,
    passage_ids,
    searchable,
    stack_vectors,
    timestamp,
)
from index.errors import InvalidId, VersionConflict
from index.filter_sql import Condition
from index.history import next_moments, record_deletions
from index.insertion import insert_rows
from index.living import LIVING, NOW
from index.rows import Document, Metric, Stamps, Vector
from index.vectors import Keys
from index.writer import AddedRows, Change, WrittenDocuments

_INLINE_PASSAGES: Final = 16
_INLINE_CHARACTERS: Final = 100_000
_AMONG: Final = "IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class EncodedDocuments:
    """Documents of distinct ids, checked, with all their vectors (passages, dim) as given and as searched."""

    documents: Sequence[Document]
    metadata: Sequence[str]
    vectors: Vector
    searched: Vector


def is_small(documents: Sequence[Document]) -> bool:
    """Whether they are encoded in passing; more of it is work for a thread."""
    return (
        sum(len(document.passages) for document in documents) <= _INLINE_PASSAGES
        and sum(len(document.text or "") for document in documents) <= _INLINE_CHARACTERS
    )


def weight(documents: Sequence[Document]) -> int:
    """How many rows they count for in the writer's queue."""
    rows = sum(len(document.passages) for document in documents)
    return writer.weight(rows, sum(map(_size, documents)))


def _size(document: Document) -> int:
    """Of its text, in characters, and of the vectors of its tokens, in bytes."""
    packed = sum(len(passage.token_vectors or b"") for passage in document.passages)
    return len(document.text or "") + packed


def encode_documents(documents: Sequence[Document], dim: int, metric: Metric) -> EncodedDocuments:
    """Check and encode; of several documents with one id the last counts.

    Raises:
        InvalidId, InvalidDocument, InvalidVector: naming the document.
    """
    distinct = list({document.id: document for document in documents}.values())
    for document in distinct:
        check_document(document)
    vectors = stack_vectors(distinct, dim, metric)
    metadata = [encode_metadata(document) for document in distinct]
    return EncodedDocuments(distinct, metadata, vectors, searchable(vectors, metric))


def upsert(
    connection: sqlite3.Connection, encoded: EncodedDocuments, stamps: Mapping[str, Stamps] | None = None
) -> Change[None]:
    """Replace the documents that have these ids; those with ``stamps`` keep them.

    Raises:
        VersionConflict: one of these is not at the version it must have.
        InvalidId: the id of a point is that of another document's passage, or the other way round.
    """
    ids = [document.id for document in encoded.documents]
    previous = _versions(connection, ids)
    for document in encoded.documents:
        found = previous[document.id][0] if document.id in previous else 0
        if document.if_version not in (None, found):
            raise VersionConflict(document.id, found)
    removed, gone = _remove(connection, _in_the_way(encoded.documents), frozenset(ids))
    now = timestamp()
    first_key = _next_key(connection, "documents")
    keys = range(first_key, first_key + len(ids))
    stamped = {id_: _next_stamps(*found, now) for id_, found in previous.items()} | dict(stamps or {})
    new = Stamps(1, now, now)
    insert_rows(
        connection,
        "documents",
        [
            _document_row(key, document, metadata, stamped.get(document.id, new), moment)
            for key, document, metadata, moment in zip(
                keys, encoded.documents, encoded.metadata, next_moments(connection, len(ids)), strict=True
            )
        ],
    )
    texts = ((key, document.text) for key, document in zip(keys, encoded.documents, strict=True))
    insert_rows(connection, "texts", [(key, text) for key, text in texts if text is not None])
    added = _insert_passages(connection, keys, encoded)
    acls = [encode_json(document.acl) for document in encoded.documents]
    written = WrittenDocuments(keys, ids, encoded.metadata, acls)
    expires_at = min((d.expires_at for d in encoded.documents if d.expires_at is not None), default=None)
    return Change(None, removed, added, gone, written, expires_at=expires_at)


def _in_the_way(documents: Sequence[Document]) -> Condition:
    """Those of the same ids, and expired ones that still hold the id of a passage."""
    taken = f"EXISTS (SELECT 1 FROM passages AS p WHERE p.document = d.key AND p.id {_AMONG})"
    ids = encode_ids(document.id for document in documents)
    new = encode_ids(id_ for document in documents for id_ in passage_ids(document))
    return Condition(f"d.id {_AMONG} OR (d.expires_at <= {NOW} AND {taken})", (ids, new))


def _insert_passages(
    connection: sqlite3.Connection, keys: Sequence[int], encoded: EncodedDocuments
) -> AddedRows:
    first_seq = _next_key(connection, "passages")
    rows = list(_passage_rows(first_seq, keys, encoded))
    try:
        insert_rows(connection, "passages", rows)
    except sqlite3.IntegrityError as error:
        if (taken := _taken_id(connection, [row[2] for row in rows], first_seq)) is None:
            raise
        raise taken from error
    insert_rows(connection, "token_vectors", list(_token_rows(first_seq, encoded)))
    connection.execute(
        "INSERT INTO words (rowid, title, text) SELECT seq, title, text FROM passage_words WHERE seq >= ?",
        (first_seq,),
    )
    seqs = np.arange(first_seq, first_seq + len(rows), dtype=np.int64)
    return AddedRows(seqs, np.array([row[1] for row in rows], dtype=np.int64), encoded.searched)


def delete(connection: sqlite3.Connection, condition: Condition) -> Change[int]:
    """Delete the documents ``d`` that match; gives how many."""
    sql = f"SELECT count(*) FROM documents AS d WHERE {LIVING} AND ({condition.sql})"
    count: int = connection.execute(sql, condition.parameters).fetchone()[0]
    removed, gone = _remove(connection, condition) if count else (None, ())
    return Change(count, removed, gone=gone)


def delete_keys(connection: sqlite3.Connection, keys: Sequence[int]) -> Change[int]:
    """Delete the documents of these keys, which are there."""
    removed, gone = _remove(connection, Condition(f"d.key {_AMONG}", (json.dumps(keys),)))
    return Change(len(gone), removed, gone=gone)


def delete_ids(
    connection: sqlite3.Connection, ids: Sequence[str], versions: Container[int] | None
) -> Change[int]:
    """Delete the documents of these ids; gives how many were there.

    Raises:
        VersionConflict: one has none of ``versions``, or is not there, if these are given.
    """
    if versions is not None:
        known = _versions(connection, ids)
        for id_ in ids:
            found = known[id_][0] if id_ in known else 0
            if found not in versions:
                raise VersionConflict(id_, found)
    return delete(connection, Condition(f"d.id {_AMONG}", (encode_ids(ids),)))


def _remove(
    connection: sqlite3.Connection, condition: Condition, replaced: Container[str] = ()
) -> tuple[Keys, Sequence[int]]:
    """The seqs of the passages and the keys of the documents that were removed; those whose ids are
    ``replaced`` are written again by this transaction.
    """
    found = f"SELECT d.key, d.id FROM documents AS d WHERE {condition.sql}"
    rows = connection.execute(found, condition.parameters).fetchall()
    keys = [row[0] for row in rows]
    if not keys:
        return np.empty(0, dtype=np.int64), keys
    record_deletions(connection, [row[1] for row in rows if row[1] not in replaced])
    documents = json.dumps(keys)
    seqs = connection.execute(f"SELECT seq FROM passages WHERE document {_AMONG}", (documents,)).fetchall()
    connection.execute(
        "INSERT INTO words (words, rowid, title, text) SELECT 'delete', seq, title, text FROM passage_words"
        f" WHERE seq {_AMONG}",
        (json.dumps([row[0] for row in seqs]),),
    )
    connection.execute(f"DELETE FROM documents WHERE key {_AMONG}", (documents,))
    return np.array([row[0] for row in seqs], dtype=np.int64), keys


def _versions(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    sql = f"SELECT d.id, d.version, d.created_at FROM documents AS d WHERE d.id {_AMONG} AND {LIVING}"
    return {row[0]: (row[1], row[2]) for row in connection.execute(sql, (encode_ids(ids),))}


def _next_key(connection: sqlite3.Connection, table: str) -> int:
    """The key that AUTOINCREMENT would give next; given by hand, so that rows go in by executemany."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 1 + (row[0] if row else 0)


def _next_stamps(version: int, created_at: str, now: str) -> Stamps:
    return Stamps(version + 1, created_at, now)


def _document_row(
    key: int, document: Document, metadata: str, stamps: Stamps, moment: int
) -> tuple[Any, ...]:
    return (
        key,
        document.id,
        document.title,
        metadata,
        stamps.version,
        document.content_hash,
        len(document.passages),
        sum(passage.tokens for passage in document.passages),
        len(document.text or ""),
        document.media_type,
        document.is_point,
        document.expires_at,
        encode_json(document.acl),
        stamps.created_at,
        stamps.updated_at,
        moment,
    )


def _passage_rows(
    first_seq: int, keys: Sequence[int], encoded: EncodedDocuments
) -> Iterator[tuple[Any, ...]]:
    blobs = enumerate(encode_vectors(encoded.vectors), start=first_seq)
    for key, document in zip(keys, encoded.documents, strict=True):
        for id_, p in zip(passage_ids(document), document.passages, strict=True):
            seq, blob = next(blobs)
            yield (seq, key, id_, p.start, p.end, p.page, p.heading, p.tokens, p.text, blob, p.digest)


def _token_rows(first_seq: int, encoded: EncodedDocuments) -> Iterator[tuple[int, bytes]]:
    passages = (passage for document in encoded.documents for passage in document.passages)
    for seq, passage in enumerate(passages, start=first_seq):
        if passage.token_vectors is not None:
            yield seq, passage.token_vectors


def _taken_id(connection: sqlite3.Connection, ids: Sequence[str], first_seq: int) -> InvalidId | None:
    """Which of the ids is not free; None if all are."""
    sql = (
        "SELECT p.id, d.id FROM passages AS p JOIN documents AS d ON d.key = p.document"
        f" WHERE p.id {_AMONG} AND p.seq < ? LIMIT 1"
    )
    row = connection.execute(sql, (encode_json(ids), first_seq)).fetchone()
    if row is None:
        twice = next((id_ for id_, count in Counter(ids).items() if count > 1), None)
        return None if twice is None else InvalidId(twice, "two passages of this request have it")
    return InvalidId(row[0], f"a passage of the document {row[1][:80]!r} has it")
