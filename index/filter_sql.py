"""What a filter means, as SQL over a row ``d`` of ``documents``; ``filter_match`` is the definition.

Used where a filter has to hold inside a transaction. Keys and values are bound, never pasted. Numbers travel
as JSON, so that SQLite parses the stored and the asked one with the same routine and equal texts are equal
numbers.
"""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from index import filters
from index.filters import (
    ACL,
    DOCUMENT_ID,
    AllOf,
    AnyOf,
    Compared,
    Contains,
    Exists,
    Filter,
    Not,
    OneOf,
    Scalar,
    steps_of,
)

_SQL_ORDER: Final = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_KEYED: Final = "EXISTS (SELECT 1 FROM json_each(d.metadata) AS m WHERE m.key = ? AND ({}))"
_INSIDE: Final = "json_each(iif(m{0}.type = 'object', m{0}.value, '{{}}')) AS m{1}"
_ELEMENT: Final = "EXISTS (SELECT 1 FROM json_each(iif(m.type = 'array', m.value, '[]')) AS e WHERE {})"


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
            return _joined(" AND ", parts, empty="1")
        case AnyOf(parts):
            return _joined(" OR ", parts, empty="0")
        case Not(part):
            inner = compile_filter(part)
            return Condition(f"NOT ({inner.sql})", inner.parameters)
        case _:
            return _OWN.get(tree.key, _of_metadata)(tree)


def _joined(word: str, parts: Sequence[Filter], *, empty: str) -> Condition:
    compiled = [compile_filter(part) for part in parts]
    sql = word.join(f"({part.sql})" for part in compiled) or empty
    return Condition(sql, tuple(value for part in compiled for value in part.parameters))


def _of_metadata(tree: filters.Condition) -> Condition:
    match tree:
        case OneOf(key, choices):
            return _keyed(key, _equals("m", choices))
        case Compared(key):
            return _keyed(key, _compared(tree))
        case Contains(key, operand):
            return _keyed(key, _contains(operand))
        case Exists(key):
            return _keyed(key, Condition("1", ()))


def _of_id(tree: filters.Condition) -> Condition:
    match tree:
        case OneOf(_, choices):
            return Condition("d.id IN (SELECT value FROM json_each(?))", (_texts(choices),))
        case Compared(_, operator, str() as operand):
            return Condition(f"d.id {_SQL_ORDER[operator]} ?", (operand,))
        case Contains(_, str() as operand):
            return Condition("instr(d.id, ?) > 0", (operand,))
        case Exists():
            return Condition("1", ())
        case _:  # an id is a text, whatever else is asked of it does not hold
            return Condition("0", ())


def _of_acl(tree: filters.Condition) -> Condition:
    match tree:
        case Contains(_, str() as operand):
            return Condition("EXISTS (SELECT 1 FROM json_each(d.acl) AS e WHERE e.value = ?)", (operand,))
        case Exists():
            return Condition("d.acl <> '[]'", ())
        case _:  # it is a list of texts
            return Condition("0", ())


_OWN: Final[Mapping[str, Callable[[filters.Condition], Condition]]] = {DOCUMENT_ID: _of_id, ACL: _of_acl}


def _keyed(key: str, condition: Condition) -> Condition:
    """Some value ``m`` of the key holds: that of the key as it stands, or else what its steps lead to."""
    literal = Condition(_KEYED.format(condition.sql), (key, *condition.parameters))
    steps = steps_of(key)
    if len(steps) == 1:
        return literal
    last = len(steps) - 1
    inside = "".join(f", {_INSIDE.format(n, n + 1 if n + 1 < last else '')}" for n in range(last))
    keys = " AND ".join(f"m{n if n < last else ''}.key = ?" for n in range(last + 1))
    sql = (
        f"iif({_KEYED.format('1')}, {literal.sql},"
        f" EXISTS (SELECT 1 FROM json_each(d.metadata) AS m0{inside} WHERE {keys} AND ({condition.sql})))"
    )
    return Condition(sql, (key, *literal.parameters, *steps, *condition.parameters))


def _equals(row: str, choices: Sequence[Scalar]) -> Condition:
    named = {True: "'true'", False: "'false'", None: "'null'"}
    words = [named[choice] for choice in choices if choice is None or isinstance(choice, bool)]
    clauses = [
        f"{row}.type = 'text' AND {row}.atom IN (SELECT value FROM json_each(?))",
        f"{row}.type IN ('integer', 'real') AND {row}.atom IN (SELECT value FROM json_each(?))",
        f"{row}.type IN ({', '.join(words)})",
    ]
    alternatives = " OR ".join(f"({clause})" for clause in clauses)
    return Condition(alternatives, (_texts(choices), _numbers(choices)))


def _compared(tree: Compared) -> Condition:
    order = _SQL_ORDER[tree.operator]
    if isinstance(tree.operand, str):
        return Condition(f"m.type = 'text' AND m.atom {order} ?", (tree.operand,))
    sql = f"m.type IN ('integer', 'real') AND m.atom {order} json_extract(?, '$')"
    return Condition(sql, (json.dumps(tree.operand),))


def _contains(operand: Scalar) -> Condition:
    element = _equals("e", (operand,))
    sql = _ELEMENT.format(element.sql)
    if not isinstance(operand, str):
        return Condition(sql, element.parameters)
    return Condition(
        f"iif(m.type = 'text', instr(m.atom, ?) > 0, {sql})",
        (operand, *element.parameters),
    )


def _texts(choices: Sequence[Scalar]) -> str:
    # A stored text has no NUL, and SQLite would cut the choice at one: such a choice matches nothing.
    return json.dumps([c for c in choices if isinstance(c, str) and "\0" not in c])


def _numbers(choices: Sequence[Scalar]) -> str:
    return json.dumps([c for c in choices if isinstance(c, int | float) and not isinstance(c, bool)])
