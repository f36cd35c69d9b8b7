"""What a filter means, as SQL over a row ``d`` of ``documents``.

Keys and values are bound, never pasted. Numbers travel as JSON, so that SQLite parses the stored and the
asked one with the same routine and equal texts are equal numbers.
"""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import json
from dataclasses import dataclass
from typing import Any, Final

from index.filters import DOCUMENT_ID, AllOf, Compared, Filter, OneOf, Scalar

_SQL_ORDER: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_KEYED: Final = "EXISTS (SELECT 1 FROM json_each(d.metadata) AS m WHERE m.key = ? AND ({}))"
_TEXT: Final = "m.type = 'text'"
_NUMBER: Final = "m.type IN ('integer', 'real')"


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression and the values of its placeholders, in order."""

    sql: str
    parameters: tuple[Any, ...]


def compile_filter(tree: Filter | None) -> Condition:
    """The condition that holds for the documents that match; everything matches None."""
    match tree:
        case None:
            return Condition("1", ())
        case AllOf(parts):
            return _all([compile_filter(part) for part in parts])
        case OneOf(key, choices) if key == DOCUMENT_ID:
            return Condition("d.id IN (SELECT value FROM json_each(?))", (_texts(choices),))
        case OneOf(key, choices):
            return _one_of(key, choices)
        case Compared(key, operator, operand) if key == DOCUMENT_ID:
            is_text = isinstance(operand, str)
            return Condition(f"d.id {_SQL_ORDER[operator]} ?" if is_text else "0", (operand,) * is_text)
        case Compared():
            return _compared(tree)


def _all(parts: list[Condition]) -> Condition:
    sql = " AND ".join(f"({part.sql})" for part in parts) or "1"
    return Condition(sql, tuple(value for part in parts for value in part.parameters))


def _one_of(key: str, choices: tuple[Scalar, ...]) -> Condition:
    named = {True: "'true'", False: "'false'", None: "'null'"}
    words = [named[choice] for choice in choices if choice is None or isinstance(choice, bool)]
    clauses = [
        f"{_TEXT} AND m.atom IN (SELECT value FROM json_each(?))",
        f"{_NUMBER} AND m.atom IN (SELECT value FROM json_each(?))",
        f"m.type IN ({', '.join(words)})",
    ]
    alternatives = " OR ".join(f"({clause})" for clause in clauses)
    return Condition(_KEYED.format(alternatives), (key, _texts(choices), _numbers(choices)))


def _compared(tree: Compared) -> Condition:
    order = _SQL_ORDER[tree.operator]
    if isinstance(tree.operand, str):
        return Condition(_KEYED.format(f"{_TEXT} AND m.atom {order} ?"), (tree.key, tree.operand))
    number = f"{_NUMBER} AND m.atom {order} json_extract(?, '$')"
    return Condition(_KEYED.format(number), (tree.key, json.dumps(tree.operand)))


def _texts(choices: tuple[Scalar, ...]) -> str:
    # A stored text has no NUL, and SQLite would cut the choice at one: such a choice matches nothing.
    return json.dumps([c for c in choices if isinstance(c, str) and "\0" not in c])


def _numbers(choices: tuple[Scalar, ...]) -> str:
    return json.dumps([c for c in choices if isinstance(c, int | float) and not isinstance(c, bool)])
