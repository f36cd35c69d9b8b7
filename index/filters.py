"""The filter language: a JSON object becomes a frozen tree.

    {"lang": "en", "year": {"$gte": 2020, "$lt": 2024}, "$and": [{"team": {"$in": ["a", "b"]}}]}

Keys are top-level keys of a document's metadata; ``document_id`` is reserved and means the document's own
id. Several keys, and several operators on one key, must all hold; ``{}`` matches everything. Types are
strict: booleans are not numbers, text is not a number, and ordered comparisons never match across types.
Strings compare by code point.

This module knows the shape of the language alone; what a tree means in SQL is in ``filter_sql``. A new
operator is one row in ``_OPERATORS`` here and one function there.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from index.errors import InvalidFilter

DOCUMENT_ID: Final = "document_id"
MAX_CONDITIONS: Final = 256
MAX_CHOICES: Final = 10_000
MAX_DEPTH: Final = 16

Scalar: TypeAlias = str | int | float | bool | None
Ordering: TypeAlias = Literal["$gt", "$gte", "$lt", "$lte"]


@dataclass(frozen=True, slots=True)
class OneOf:
    """The key exists and its value equals one of ``choices``, type included (1 and 1.0 are equal numbers)."""

    key: str
    choices: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """The key's value has the operand's type (text or number) and stands in that order to it."""

    key: str
    operator: Ordering
    operand: str | int | float


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; no parts at all hold for everything."""

    parts: tuple["Filter", ...]


Filter: TypeAlias = OneOf | Compared | AllOf


def parse_filter(source: Any) -> Filter:
    """The tree of a filter object as it came out of JSON.

    Raises:
        InvalidFilter: on anything but an object, an unknown operator, a value of the wrong kind, or a
        filter of
            more than ``MAX_CONDITIONS`` conditions, ``MAX_CHOICES`` choices or ``MAX_DEPTH`` levels.
    """
    parsed = _parse_object(source, "filter", MAX_DEPTH)
    if (conditions := _count_conditions(parsed)) > MAX_CONDITIONS:
        raise InvalidFilter(f"the filter has {conditions} conditions, the limit is {MAX_CONDITIONS}")
    return parsed


def _parse_object(source: Any, where: str, depth: int) -> Filter:
    if depth == 0:
        raise InvalidFilter(f"{where}: filters may be nested {MAX_DEPTH} deep")
    if not isinstance(source, Mapping):
        raise InvalidFilter(f"{where} must be an object, not {_kind(source)}")
    return _all_of([_parse_entry(key, value, f"{where}.{key}", depth) for key, value in source.items()])


def _parse_entry(key: str, value: Any, where: str, depth: int) -> Filter:
    if key == "$and":
        return _parse_and(value, where, depth)
    if key.startswith("$"):
        raise InvalidFilter(
            f"unknown operator {key!r} at {where}: expected a metadata key or $and", operator=key
        )
    _check_text(key, where, None)
    if not isinstance(value, Mapping):
        return _equal(key, value, where)
    if not value:
        raise InvalidFilter(f"{where} has no operator: expected one of {', '.join(_OPERATORS)}")
    return _all_of(
        [_parse_operator(key, name, operand, f"{where}.{name}") for name, operand in value.items()]
    )


def _parse_and(value: Any, where: str, depth: int) -> Filter:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidFilter(f"{where} takes a list of one or more filters", operator="$and")
    return _all_of([_parse_object(part, f"{where}[{n}]", depth - 1) for n, part in enumerate(value)])


def _parse_operator(key: str, name: str, operand: Any, where: str) -> Filter:
    if (parse := _OPERATORS.get(name)) is None:
        known = ", ".join(_OPERATORS)
        raise InvalidFilter(f"unknown operator {name!r} at {where}: expected one of {known}", operator=name)
    return parse(key, operand, where)


def _equal(key: str, operand: Any, where: str) -> Filter:
    return OneOf(key, (_scalar(operand, where, "$eq"),))


def _in(key: str, operand: Any, where: str) -> Filter:
    if not isinstance(operand, list | tuple):
        raise InvalidFilter(f"{where} takes a list, not {_kind(operand)}", operator="$in")
    if len(operand) > MAX_CHOICES:
        raise InvalidFilter(f"{where} has {len(operand)} choices, the limit is {MAX_CHOICES}", operator="$in")
    return OneOf(key, tuple(_scalar(choice, f"{where}[{n}]", "$in") for n, choice in enumerate(operand)))


def _ordered(operator: Ordering) -> Callable[[str, Any, str], Filter]:
    def parse(key: str, operand: Any, where: str) -> Filter:
        if isinstance(operand, bool) or not isinstance(operand, str | int | float):
            raise InvalidFilter(
                f"{where} takes a number or a string, not {_kind(operand)}", operator=operator
            )
        _scalar(operand, where, operator)
        return Compared(key, operator, operand)

    return parse


_OPERATORS: Final[Mapping[str, Callable[[str, Any, str], Filter]]] = {
    "$eq": _equal,
    "$in": _in,
    "$gt": _ordered("$gt"),
    "$gte": _ordered("$gte"),
    "$lt": _ordered("$lt"),
    "$lte": _ordered("$lte"),
}


def _scalar(value: Any, where: str, operator: str) -> Scalar:
    if value is not None and not isinstance(value, str | int | float):
        raise InvalidFilter(
            f"{where} takes a string, number, boolean or null, not {_kind(value)}", operator=operator
        )
    if isinstance(value, str):
        _check_text(value, where, operator)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFilter(f"{where} takes a finite number, not {value}", operator=operator)
    return value


def _check_text(text: str, where: str, operator: str | None) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidFilter(f"{where!a} has text that is not valid Unicode", operator) from None


def _all_of(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _count_conditions(tree: Filter) -> int:
    """Empty parts count too: each of them costs SQLite something."""
    return max(1, sum(map(_count_conditions, tree.parts))) if isinstance(tree, AllOf) else 1


def _kind(value: Any) -> str:
    names = {
        "dict": "an object",
        "list": "a list",
        "str": "a string",
        "bool": "a boolean",
        "NoneType": "null",
    }
    return names.get(type(value).__name__, "a number" if isinstance(value, int | float) else "that")
