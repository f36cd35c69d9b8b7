"""Points in SQL: passages joined with what they take from their documents. Reading only."""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

from collections.abc import Sequence
from typing import Any, Final

from index.codec import decode_json
from index.filters import Filter
from index.postgres.database import Reader, Record
from index.postgres.filter_sql import compile_filter
from index.postgres.parameters import Parameters
from index.postgres.tables import LIVING, Tables
from index.postgres.text import askable, decode_optional, decode_text
from index.postgres.times import optional_text_of
from index.rows import PassageVectors, StoredPoint

_COLUMNS: Final = (
    "p.seq, p.id, d.id, p.text, d.title, d.metadata, d.version, p.start, p.stop, p.page, p.heading,"
    " d.expires_at, d.acl"
)


async def by_id(
    reader: Reader, tables: Tables, ids: Sequence[str], *, with_vectors: bool, with_token_vectors: bool
) -> list[StoredPoint]:
    """The points of these ids in the order asked, without those that do not exist."""
    packed = "p.token_vectors" if with_token_vectors else "NULL"
    sql = f"SELECT {_columns(with_vectors)}, {packed} FROM {tables.joined} WHERE p.id = ANY($1) AND {LIVING}"
    rows = await reader.fetch(sql, askable(ids))
    found = {point.id: point for point in map(_point, rows)}
    return [found[id_] for id_ in ids if id_ in found]


async def scroll(
    reader: Reader,
    tables: Tables,
    limit: int,
    after: int,
    condition: Filter | None,
    *,
    with_vectors: bool,
) -> tuple[list[StoredPoint], int | None]:
    """Up to ``limit`` points behind the seq ``after``, and the seq to go on from, if there is more."""
    parameters = Parameters(after, limit + 1)
    where = compile_filter(condition, parameters)
    rows = await reader.fetch(
        f"SELECT {_columns(with_vectors)} FROM {tables.joined} WHERE p.seq > $1 AND {LIVING} AND ({where})"
        " ORDER BY p.seq LIMIT $2",
        *parameters.values,
    )
    page = rows[:limit]
    return [_point(row) for row in page], page[-1][0] if len(rows) > limit else None


async def sample(reader: Reader, tables: Tables, limit: int) -> list[StoredPoint]:
    """Up to ``limit`` points with their vectors, spread evenly over all, in the order of their seqs: of n
    the first, the last and those between whose places are nearest to even steps (half to even).
    """
    numbered = (
        f"SELECT p.seq, row_number() OVER (ORDER BY p.seq) - 1 AS place, count(*) OVER () AS points"
        f" FROM {tables.joined} WHERE {LIVING}"
    )
    # rint() of a double rounds half to even, as numpy does.
    spread = (
        "SELECT DISTINCT"
        " round(step * ((n.points - 1)::double precision / greatest(least($1, n.points) - 1, 1))) AS place"
        " FROM (SELECT max(points) AS points FROM numbered) AS n,"
        " generate_series(0, least($1, n.points) - 1) AS step"
    )
    rows = await reader.fetch(
        f"WITH numbered AS ({numbered}), spread AS ({spread})"
        f" SELECT {_columns(with_vectors=True)} FROM spread JOIN numbered USING (place)"
        f" JOIN {tables.passages} AS p ON p.seq = numbered.seq"
        f" JOIN {tables.documents} AS d ON d.key = p.document ORDER BY p.seq",
        limit,
    )
    return [_point(row) for row in rows]


async def vectors_by_digest(
    reader: Reader, tables: Tables, digests: Sequence[str]
) -> dict[str, PassageVectors]:
    """The vectors of each of these digests that a passage has; any of its passages, they are the same."""
    rows = await reader.fetch(
        f"SELECT DISTINCT ON (digest) digest, vector, tokens, token_vectors FROM {tables.passages}"
        " WHERE digest = ANY($1)",
        askable(digests),
    )
    return {
        digest: PassageVectors(vector, tokens, token_vectors)
        for digest, vector, tokens, token_vectors in rows
    }


def _columns(with_vectors: bool) -> str:
    return f"{_COLUMNS}, {'p.vector' if with_vectors else 'NULL'}"


def _point(row: Record | Sequence[Any]) -> StoredPoint:
    (_, id_, document_id, text, title, metadata, version, start, end, page, heading, *rest) = row
    expires_at, acl, vector, *packed = rest
    return StoredPoint(
        id=id_,
        document_id=document_id,
        text=decode_optional(text),
        title=decode_text(title),
        metadata=decode_json(metadata),
        version=version,
        start=start,
        end=end,
        page=page,
        heading=decode_text(heading),
        expires_at=optional_text_of(expires_at),
        acl=tuple(map(decode_text, acl)),
        vector=vector,
        token_vectors=packed[0] if packed else None,
    )
