"""Which values a metadata key has among the points that match, and how many points have each; and counts.

A key means what it means in a filter. Of a list each element counts, and each once; an object is no value.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

import json
from typing import Final

from index.codec import is_unicode
from index.filter_match import comparable
from index.filters import DOCUMENT_ID, Filter, Scalar
from index.postgres.database import Reader
from index.postgres.filter_sql import compile_filter, value_of
from index.postgres.parameters import Parameters
from index.postgres.tables import LIVING, Tables
from index.rows import Facets, FacetValue

_ELEMENTS: Final = (
    "SELECT DISTINCT e.value FROM jsonb_array_elements(CASE WHEN v.value IS NULL THEN '[]'"
    " WHEN jsonb_typeof(v.value) = 'array' THEN v.value ELSE jsonb_build_array(v.value) END) AS e (value)"
    " WHERE jsonb_typeof(e.value) NOT IN ('array', 'object')"
)
# The three words are types of their own; see ``index.facets``.
_TYPE: Final = (
    "CASE jsonb_typeof(value) WHEN 'number' THEN 'real' WHEN 'string' THEN 'text' ELSE value::text END"
)
_NUMBER: Final = "CASE WHEN jsonb_typeof(value) = 'number' THEN value::numeric END"
_ORDER: Final = f'points DESC, ({_TYPE}) COLLATE "C", {_NUMBER}, (value #>> \'{{}}\') COLLATE "C"'


async def count_points(reader: Reader, tables: Tables, condition: Filter | None) -> int:
    """How many points match."""
    parameters = Parameters()
    where = compile_filter(condition, parameters)
    points: int = await reader.value(
        f"SELECT coalesce(sum(d.passages), 0)::bigint FROM {tables.documents} AS d"
        f" WHERE {LIVING} AND ({where})",
        *parameters.values,
    )
    return points


async def count_values(
    reader: Reader, tables: Tables, key: str, limit: int, condition: Filter | None
) -> Facets:
    """The ``limit`` commonest values; equal counts are in the order of their types, then of themselves."""
    if "\0" in key or not is_unicode(key):  # nothing that is stored has it
        return Facets((), 0)
    parameters = Parameters(limit)
    value = "to_jsonb(d.id)" if key == DOCUMENT_ID else value_of(key, parameters)
    where = compile_filter(condition, parameters)
    rows = await reader.fetch(
        "WITH counted AS (SELECT found.value, sum(d.passages)::bigint AS points"
        f" FROM {tables.documents} AS d, LATERAL (SELECT {value} AS value) AS v,"
        f" LATERAL ({_ELEMENTS}) AS found"
        f" WHERE d.passages > 0 AND {LIVING} AND ({where}) GROUP BY found.value)"
        f" SELECT value::text, points, count(*) OVER () FROM counted ORDER BY {_ORDER} LIMIT $1",
        *parameters.values,
    )
    values = tuple(FacetValue(_scalar(text), points) for text, points, _ in rows)
    return Facets(values, rows[0][2] if rows else 0)


def _scalar(text: str) -> Scalar:
    """A number as the embedded store has it, which no 64 bits of an integer may hold."""
    value: Scalar = json.loads(text)
    held = comparable(value)
    return held[1] if held is not None and held[0] == "number" else value
