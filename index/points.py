"""Points in SQL: passages joined with what they take from their documents. Reading only."""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from index.codec import decode_json, decode_vector, encode_ids, encode_json
from index.filter_sql import compile_filter
from index.filters import Filter
from index.living import LIVING
from index.readers import Readers
from index.rows import PassageVectors, StoredPoint, Vector

_COLUMNS: Final = (
    "p.seq, p.id, d.id, {text}, d.title, {metadata}, d.version, p.start, p.stop, p.page, p.heading,"
    " d.expires_at, d.acl"
)
# So many points are looked up in about a millisecond.
FEW: Final = 100
_JOIN: Final = "passages AS p JOIN documents AS d ON d.key = p.document"


class Joined(NamedTuple):
    """A passage and its document as SQLite gives them."""

    seq: int
    id: str
    document_id: str
    text: str | None
    title: str
    metadata: str
    version: int
    start: int
    end: int
    page: int | None
    heading: str
    expires_at: str | None
    acl: str
    vector: bytes | None
    token_vectors: bytes | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What of a point is read. Without ``content`` there is no text, and the metadata is empty."""

    content: bool = True
    vectors: bool = False
    token_vectors: bool = False


async def vectors_by_digest(readers: Readers, digests: Sequence[str]) -> dict[str, PassageVectors]:
    """The vectors of each of these digests that a passage has; any of its passages, they are the same."""
    rows = await readers.rows(
        "SELECT w.value, p.vector, p.tokens, (SELECT packed FROM token_vectors WHERE passage = p.seq)"
        " FROM (SELECT DISTINCT value FROM json_each(?)) AS w"
        " JOIN passages AS p ON p.seq = (SELECT min(seq) FROM passages WHERE digest = w.value)",
        (encode_json(list(digests)),),
    )
    return {
        digest: PassageVectors(decode_vector(vector), tokens, packed)
        for digest, vector, tokens, packed in rows
    }


async def by_seq(readers: Readers, seqs: Sequence[int], parts: Parts) -> dict[int, Joined]:
    """The points of these seqs that are still there; one statement, so one committed state."""
    read = readers.few_rows if len(seqs) <= FEW else readers.rows
    return _joined(await read(*_by_seq(seqs, parts)))


def by_seq_now(readers: Readers, seqs: Sequence[int], parts: Parts) -> dict[int, Joined]:
    """As ``by_seq`` for ``FEW`` of them, on the readers' thread."""
    return _joined(readers.few_rows_now(*_by_seq(seqs, parts)))


def _by_seq(seqs: Sequence[int], parts: Parts) -> tuple[str, tuple[str]]:
    sql = (
        f"SELECT {_columns(parts.vectors, with_content=parts.content)}, {_packed(parts)}"
        " FROM json_each(?) AS wanted CROSS JOIN passages AS p ON p.seq = wanted.value"
        f" JOIN documents AS d ON d.key = p.document WHERE {LIVING}"
    )
    return sql, (json.dumps(seqs),)


def _joined(rows: Iterable[tuple[Any, ...]]) -> dict[int, Joined]:
    return {row[0]: Joined._make(row) for row in rows}


async def documents_of(readers: Readers, seqs: Sequence[int]) -> dict[int, int]:
    """The key of each of these points' documents, of those that are still there."""
    sql = "SELECT seq, document FROM passages WHERE seq IN (SELECT value FROM json_each(?))"
    return dict(await readers.rows(sql, (json.dumps(seqs),)))


async def vectors_of(readers: Readers, seqs: Sequence[int]) -> dict[int, Vector]:
    """The vector of each of these points that is still there, as it was written."""
    sql = "SELECT seq, vector FROM passages WHERE seq IN (SELECT value FROM json_each(?))"
    rows = await readers.rows(sql, (json.dumps(seqs),))
    return {seq: decode_vector(blob) for seq, blob in rows}


async def by_id(readers: Readers, ids: Sequence[str], parts: Parts) -> list[StoredPoint]:
    """The points of these ids in the order asked, without those that do not exist."""
    sql = (
        f"SELECT {_columns(parts.vectors)}, {_packed(parts)} FROM {_JOIN}"
        f" WHERE p.id IN (SELECT value FROM json_each(?)) AND {LIVING}"
    )
    rows = await readers.rows(sql, (encode_ids(ids),))
    found = {point.id: point for point in map(_point, rows)}
    return [found[id_] for id_ in ids if id_ in found]


async def scroll(
    readers: Readers, limit: int, after: int, condition: Filter | None, *, with_vectors: bool
) -> tuple[list[StoredPoint], int | None]:
    """Up to ``limit`` points behind the seq ``after``, and the seq to go on from, if there is more."""
    matching = compile_filter(condition)
    sql = (
        f"SELECT {_columns(with_vectors)} FROM {_JOIN} WHERE p.seq > ? AND {LIVING} AND ({matching.sql})"
        " ORDER BY p.seq LIMIT ?"
    )
    rows = await readers.rows(sql, (after, *matching.parameters, limit + 1))
    page = rows[:limit]
    return [_point(row) for row in page], page[-1][0] if len(rows) > limit else None


async def of_seqs(readers: Readers, seqs: Sequence[int]) -> list[StoredPoint]:
    """The points of these ascending seqs that are still there, with their vectors."""
    found = await by_seq(readers, seqs, Parts(vectors=True))
    return [_point(found[seq][:-1]) for seq in seqs if seq in found]


async def count(readers: Readers) -> int:
    """How many points there are; a collection that is not in memory need not be loaded for that."""
    sql = f"SELECT coalesce(sum(d.passages), 0) FROM documents AS d WHERE {LIVING}"
    number: int = (await readers.rows(sql))[0][0]
    return number


def _columns(with_vectors: bool, *, with_content: bool = True) -> str:
    text, metadata = ("p.text", "d.metadata") if with_content else ("NULL", "'{}'")
    return f"{_COLUMNS.format(text=text, metadata=metadata)}, {'p.vector' if with_vectors else 'NULL'}"


def _packed(parts: Parts) -> str:
    return "(SELECT packed FROM token_vectors WHERE passage = p.seq)" if parts.token_vectors else "NULL"


def _point(row: Sequence[Any]) -> StoredPoint:
    point = Joined(*row)
    return StoredPoint(
        id=point.id,
        document_id=point.document_id,
        text=point.text,
        title=point.title,
        metadata=decode_json(point.metadata),
        version=point.version,
        start=point.start,
        end=point.end,
        page=point.page,
        heading=point.heading,
        expires_at=point.expires_at,
        acl=tuple(decode_json(point.acl)),
        vector=None if point.vector is None else decode_vector(point.vector),
        token_vectors=point.token_vectors,
    )
