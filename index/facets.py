"""Which values a metadata key has among the points that match, and how many points have each.

One statement, so one committed state. A key means what it means in a filter: one that has a dot is looked
for as it stands, and where a document has no such key, as a path into nested objects. Of a list each element
counts, and each once; an object is no value.
"""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

from collections.abc import Sequence
from typing import Any, Final

from index.codec import MAX_METADATA_DEPTH
from index.filter_sql import Condition, compile_filter
from index.filters import DOCUMENT_ID, Filter, Scalar, steps_of
from index.living import LIVING
from index.readers import Readers
from index.rows import Facets, FacetValue

# Of "found" rows (document, points, type, value), where a value may be the JSON of a list. An argument that
# is NULL gives no rows; it is worked out row by row, while a condition might be tried after json_each failed.
_COUNT: Final = """
    WITH found (document, points, type, value) AS ({found}), items (points, type, value) AS (
        SELECT points, type, value FROM found WHERE type NOT IN ('array', 'object')
        UNION ALL
        SELECT points, type, value FROM (
            SELECT DISTINCT f.document, f.points, replace(e.type, 'integer', 'real') AS type, e.value
            FROM found AS f, json_each(CASE f.type WHEN 'array' THEN f.value END) AS e
            WHERE e.type NOT IN ('array', 'object')
        )
    )
    SELECT replace(type, 'integer', 'real') AS kind, value, sum(points) AS count, count(*) OVER ()
    FROM items WHERE points > 0 GROUP BY kind, value ORDER BY count DESC, kind, value LIMIT ?
"""
_NAMED: Final[dict[str, Scalar]] = {"true": True, "false": False, "null": None}


async def count_values(readers: Readers, key: str, limit: int, condition: Filter | None) -> Facets:
    """The ``limit`` commonest values; equal counts are in the order of their types, then of themselves."""
    found = _found(key, compile_filter(condition))
    rows = await readers.rows(_COUNT.format(found=found.sql), (*found.parameters, limit))
    values = tuple(FacetValue(_NAMED.get(kind, value), count) for kind, value, count, _ in rows)
    return Facets(values, rows[0][3] if rows else 0)


def _found(key: str, matching: Condition) -> Condition:
    """What each matching document has under the key, as a SELECT."""
    if key == DOCUMENT_ID:
        sql = (
            f"SELECT d.key, d.passages, 'text', d.id FROM documents AS d WHERE {LIVING} AND ({matching.sql})"
        )
        return Condition(sql, matching.parameters)
    path = steps_of(key)
    literal = _at((key,), matching)
    if not 1 < len(path) <= MAX_METADATA_DEPTH:
        return literal
    nested = _at(path, matching)
    absent = "NOT EXISTS (SELECT 1 FROM json_each(d.metadata) AS m WHERE m.key = ?)"
    return Condition(
        f"{literal.sql} UNION ALL {nested.sql} AND {absent}", (*literal.parameters, *nested.parameters, key)
    )


def _at(path: Sequence[str], matching: Condition) -> Condition:
    steps = ["json_each(d.metadata) AS s0"]
    steps += [
        f"json_each(CASE s{n}.type WHEN 'object' THEN s{n}.value END) AS s{n + 1}"
        for n in range(len(path) - 1)
    ]
    last = f"s{len(path) - 1}"
    keys = " AND ".join(f"s{n}.key = ?" for n in range(len(path)))
    sql = (
        f"SELECT d.key, d.passages, {last}.type, {last}.value FROM documents AS d, {', '.join(steps)}"
        f" WHERE {LIVING} AND ({matching.sql}) AND {keys}"
    )
    parameters: tuple[Any, ...] = (*matching.parameters, *path)
    return Condition(sql, parameters)
