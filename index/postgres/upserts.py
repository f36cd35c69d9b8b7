"""Writing documents with their passages, words and vectors, in few statements however many they are."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from index import document_writes
from index.codec import passage_ids
from index.document_writes import EncodedDocuments, is_small
from index.errors import InvalidId, VersionConflict
from index.postgres.database import Reader
from index.postgres.deletion import record
from index.postgres.filterable import encode_filterable
from index.postgres.tables import Tables
from index.postgres.text import encode_optional, encode_text
from index.postgres.times import moment_of, optional_moment_of
from index.postgres.words import encode_words
from index.postgres.writer import Turn
from index.rows import CollectionSettings, Document, Stamps

_DOCUMENT_COLUMNS: Final = (
    *(
        "key",
        "id",
        "title",
        "text",
        "metadata",
        "filterable",
        "version",
        "content_hash",
        "passages",
        "tokens",
    ),
    *("characters", "media_type", "is_point", "expires_at", "acl", "created_at", "updated_at", "change"),
)
_PASSAGE_COLUMNS: Final = (
    *("seq", "document", "id", "start", "stop", "page", "heading", "tokens", "text", "vector"),
    *("token_vectors", "digest", "words", "words_count"),
)

_FEW: Final = 8


@dataclass(frozen=True, slots=True)
class Prepared:
    """Documents of distinct ids, checked, with what the server is to search their passages by."""

    encoded: EncodedDocuments
    filterable: Sequence[str]
    words: Sequence[tuple[bytes, int]]


class IdTaken(Exception):
    """A passage's id is there already; who has it can be asked when the write is undone."""


async def prepare(documents: Sequence[Document], settings: CollectionSettings) -> Prepared:
    """Check and encode, beside the event loop if it is much; of several documents with one id the last
    counts.

    Raises:
        InvalidId, InvalidDocument, InvalidVector: naming the document.
    """
    if is_small(documents):
        return _prepare(documents, settings)
    return await asyncio.to_thread(_prepare, documents, settings)


def _prepare(documents: Sequence[Document], settings: CollectionSettings) -> Prepared:
    encoded = document_writes.encode_documents(documents, settings.dim, settings.metric)
    texts = [(d.title, p.heading, p.text) for d in encoded.documents for p in d.passages]
    words = encode_words(settings.tokenizer, texts)
    return Prepared(encoded, [encode_filterable(metadata) for metadata in encoded.metadata], words)


async def upsert(turn: Turn, prepared: Prepared, stamps: Mapping[str, Stamps] | None) -> None:
    """Replace the documents that have these ids; those with ``stamps`` keep them.

    Raises:
        VersionConflict: one of these is not at the version it must have.
        IdTaken: a point and a passage of another document would have the same id.
    """
    documents = prepared.encoded.documents
    if not documents:
        return
    previous = await _clear(turn, documents)
    stamped = {id_: (row[0] + 1, row[1], turn.now) for id_, row in previous.items()}
    for id_, stamp in (stamps or {}).items():
        stamped[id_] = (stamp.version, moment_of(stamp.created_at), moment_of(stamp.updated_at))
    keys = turn.take_seqs(len(documents))
    changes = turn.take_changes(len(documents))
    new = (1, turn.now, turn.now)
    metadata = zip(prepared.encoded.metadata, prepared.filterable, strict=True)
    rows = [
        _document_row(document, pair, stamped.get(document.id, new), key=key, change=change)
        for document, pair, key, change in zip(documents, metadata, keys, changes, strict=True)
    ]
    await _insert(turn, turn.tables.documents, _DOCUMENT_COLUMNS, rows)
    try:
        await _insert(turn, turn.tables.passages, _PASSAGE_COLUMNS, list(_passage_rows(turn, keys, prepared)))
    except asyncpg.UniqueViolationError as error:
        raise IdTaken from error


async def _clear(turn: Turn, documents: Sequence[Document]) -> dict[str, tuple[int, datetime]]:
    """Remove what the documents take the place of; the version and the first moment of each of those.

    That is what has their ids, and what has expired and still holds the id of one of their passages.
    """
    ids = [document.id for document in documents]
    found = await turn.connection.fetch(
        "SELECT d.id, d.version, d.created_at, d.expires_at IS NULL OR d.expires_at > $2"
        f" FROM {turn.tables.documents} AS d WHERE d.id = ANY($1)",
        ids,
        turn.now,
    )
    living = {row[0]: (row[1], row[2]) for row in found if row[3]}
    for document in documents:
        version = living[document.id][0] if document.id in living else 0
        if document.if_version not in (None, version):
            raise VersionConflict(document.id, version)
    if found:
        await turn.connection.execute(f"DELETE FROM {turn.tables.documents} WHERE id = ANY($1)", ids)
    await _clear_expired(turn, documents)
    return living


async def _clear_expired(turn: Turn, documents: Sequence[Document]) -> None:
    table, passages = turn.tables.documents, turn.tables.passages
    expired = await turn.connection.fetchval(
        f"SELECT EXISTS (SELECT 1 FROM {table} WHERE expires_at <= $1)", turn.now
    )
    if expired:
        new = [id_ for document in documents for id_ in passage_ids(document)]
        gone = await turn.connection.fetch(
            f"DELETE FROM {table} AS d WHERE d.expires_at <= $1 AND EXISTS (SELECT 1 FROM {passages} AS p"
            " WHERE p.document = d.key AND p.id = ANY($2)) RETURNING d.key, d.id",
            turn.now,
            new,
        )
        await record(turn, gone)


async def _insert(turn: Turn, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Put rows in, by COPY if they are many; a few take fewer ways to the server and back without."""
    if len(rows) > _FEW:
        await turn.connection.copy_records_to_table(table, records=rows, columns=columns)
    elif rows:
        values = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"
        await turn.connection.executemany(sql, rows)


def _document_row(
    document: Document,
    metadata: tuple[str, str],
    stamps: tuple[int, datetime, datetime],
    *,
    key: int,
    change: int,
) -> tuple[Any, ...]:
    version, created_at, updated_at = stamps
    return (
        key,
        document.id,
        encode_text(document.title),
        encode_optional(document.text),
        *metadata,
        version,
        document.content_hash,
        len(document.passages),
        sum(passage.tokens for passage in document.passages),
        len(document.text or ""),
        encode_text(document.media_type),
        document.is_point,
        optional_moment_of(document.expires_at),
        [encode_text(tag) for tag in document.acl],
        created_at,
        updated_at,
        change,
    )


def _passage_rows(turn: Turn, keys: Sequence[int], prepared: Prepared) -> Iterator[tuple[Any, ...]]:
    vectors = prepared.encoded.vectors
    seqs = turn.take_seqs(len(vectors))
    n = 0
    for key, document in zip(keys, prepared.encoded.documents, strict=True):
        for id_, p in zip(passage_ids(document), document.passages, strict=True):
            text, heading = encode_optional(p.text), encode_text(p.heading)
            row = (seqs[n], key, id_, p.start, p.end, p.page, heading, p.tokens, text, vectors[n])
            yield (*row, p.token_vectors, p.digest, *prepared.words[n])
            n += 1


async def taken_id(reader: Reader, tables: Tables, prepared: Prepared) -> InvalidId:
    """Which id it was that an ``IdTaken`` was raised for."""
    ids = [id_ for document in prepared.encoded.documents for id_ in passage_ids(document)]
    seen: set[str] = set()
    for id_ in ids:
        if id_ in seen:
            return InvalidId(id_, "two passages of this request have it")
        seen.add(id_)
    sql = f"SELECT p.id, d.id FROM {tables.joined} WHERE p.id = ANY($1) AND d.id <> ALL($2) LIMIT 1"
    replaced = [document.id for document in prepared.encoded.documents]
    row = await reader.row(sql, ids, replaced)
    if row is None:
        return InvalidId(ids[0], "a passage of it was written by another")
    return InvalidId(row[0], f"a passage of the document {row[1][:80]!r} has it")
