"""The filter language: a JSON object becomes a frozen tree.

    {"lang": "en", "year": {"$gte": 2020}, "$or": [{"tags": {"$contains": "tides"}}, {"meta.draft": True}]}

A key is a key of a document's metadata; one with dots that metadata does not have as it stands leads into
nested objects. ``document_id`` is reserved and means the document's own id; of the tags of those who may see
a document only `visible_to` asks. Several keys, and several
operators on one key, must all hold; ``{}`` matches everything. Types are strict: booleans are not numbers,
text is not a number, and ordered comparisons never match across types. ``$ne $nin $not_contains`` are exact
complements, so they match documents without the key too.

This module knows the shape of the language alone. What a tree means is said by ``filter_match`` in plain
Python; ``filter_sql`` and ``attributes`` say the same in SQL and in bitmaps. A new operator is one row in
``_OPERATORS`` here and one function in each of them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from index.errors import InvalidFilter

DOCUMENT_ID: Final = "document_id"
# Means the list of a document's own tags. No client can ask for it, since it is not valid Unicode.
ACL: Final = "\ud800acl"
MAX_CONDITIONS: Final = 256
MAX_CHOICES: Final = 10_000
MAX_DEPTH: Final = 16
# Metadata is not that deep, and SQLite joins no more than 64 tables, one for each step.
MAX_STEPS: Final = 16
_SHOWN: Final = 80

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
class Contains:
    """The key's value is a list with an element that equals ``operand``, or a text that it is a part of."""

    key: str
    operand: Scalar


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there, whatever its value; null too."""

    key: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; no parts at all hold for everything."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Filter"


Condition: TypeAlias = OneOf | Compared | Contains | Exists
Filter: TypeAlias = Condition | AllOf | AnyOf | Not


def visible_to(tags: Iterable[str]) -> Filter:
    """What is open to everybody, and what has one of ``tags`` among its own."""
    return AnyOf((Not(Exists(ACL)), *(Contains(ACL, tag) for tag in dict.fromkeys(tags))))


def steps_of(key: str) -> tuple[str, ...]:
    """The keys that lead to a value if metadata has no ``key`` as it stands."""
    return tuple(key.split("."))


def keys_of(tree: Filter) -> frozenset[str]:
    """Every key that the tree asks for."""
    match tree:
        case AllOf(parts) | AnyOf(parts):
            return frozenset().union(*map(keys_of, parts))
        case Not(part):
            return keys_of(part)
        case _:
            return frozenset({tree.key})


def parse_filter(source: Any) -> Filter:
    """The tree of a filter object as it came out of JSON.

    Raises:
        InvalidFilter: on anything but an object, an unknown operator, a value of the wrong kind, or a
            filter of more than ``MAX_CONDITIONS`` conditions, ``MAX_CHOICES`` choices, ``MAX_DEPTH`` levels
            or ``MAX_STEPS`` steps in a key. It names the operator and its place.
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
    return _all_of(
        [_parse_entry(key, value, f"{where}.{_short(key)}", depth) for key, value in source.items()]
    )


def _parse_entry(key: str, value: Any, where: str, depth: int) -> Filter:
    if key == "$not":
        return Not(_parse_object(value, where, depth - 1))
    if key in ("$and", "$or"):
        parts = _parse_parts(key, value, where, depth)
        return _all_of(parts) if key == "$and" else _any_of(parts)
    if key.startswith("$"):
        known = "a metadata key, $and, $or or $not"
        raise InvalidFilter(f"unknown operator {_short(key)!r} at {where}: expected {known}", operator=key)
    _check_text(key, where, None)
    if key.count(".") >= MAX_STEPS:
        raise InvalidFilter(f"{where} has {key.count('.') + 1} steps, the limit is {MAX_STEPS}")
    if not isinstance(value, Mapping):
        return _equal(key, value, where)
    if not value:
        raise InvalidFilter(f"{where} has no operator: expected one of {', '.join(_OPERATORS)}")
    return _all_of(
        [_parse_operator(key, name, operand, f"{where}.{_short(name)}") for name, operand in value.items()]
    )


def _parse_parts(operator: str, value: Any, where: str, depth: int) -> list[Filter]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidFilter(f"{where} takes a list of one or more filters", operator=operator)
    return [_parse_object(part, f"{where}[{n}]", depth - 1) for n, part in enumerate(value)]


def _parse_operator(key: str, name: str, operand: Any, where: str) -> Filter:
    if name in ("$and", "$or", "$not"):
        raise InvalidFilter(f"{where}: {name} takes filters, it stands before keys", operator=name)
    if (parse := _OPERATORS.get(name)) is None:
        known = ", ".join(_OPERATORS)
        raise InvalidFilter(
            f"unknown operator {_short(name)!r} at {where}: expected one of {known}", operator=name
        )
    return parse(key, operand, where)


def _equal(key: str, operand: Any, where: str, operator: str = "$eq") -> Filter:
    if isinstance(operand, list | tuple):
        raise InvalidFilter(
            f"{where}: {operator} takes no list; $in takes one, and $contains asks for an element", operator
        )
    return OneOf(key, (_scalar(operand, where, operator),))


def _in(key: str, operand: Any, where: str, operator: str = "$in") -> Filter:
    if not isinstance(operand, list | tuple):
        raise InvalidFilter(f"{where} takes a list, not {_kind(operand)}", operator)
    if len(operand) > MAX_CHOICES:
        raise InvalidFilter(f"{where} has {len(operand)} choices, the limit is {MAX_CHOICES}", operator)
    return OneOf(key, tuple(_scalar(choice, f"{where}[{n}]", operator) for n, choice in enumerate(operand)))


def _ordered(operator: Ordering) -> Callable[[str, Any, str], Filter]:
    def parse(key: str, operand: Any, where: str) -> Filter:
        if isinstance(operand, bool) or not isinstance(operand, str | int | float):
            raise InvalidFilter(f"{where} takes a number or a string, not {_kind(operand)}", operator)
        _scalar(operand, where, operator)
        return Compared(key, operator, operand)

    return parse


def _exists(key: str, operand: Any, where: str) -> Filter:
    if not isinstance(operand, bool):
        raise InvalidFilter(f"{where} takes true or false, not {_kind(operand)}", "$exists")
    return Exists(key) if operand else Not(Exists(key))


def _contains(key: str, operand: Any, where: str, operator: str = "$contains") -> Filter:
    return Contains(key, _scalar(operand, where, operator))


_OPERATORS: Final[Mapping[str, Callable[[str, Any, str], Filter]]] = {
    "$eq": _equal,
    "$ne": lambda key, operand, where: Not(_equal(key, operand, where, "$ne")),
    "$in": _in,
    "$nin": lambda key, operand, where: Not(_in(key, operand, where, "$nin")),
    "$gt": _ordered("$gt"),
    "$gte": _ordered("$gte"),
    "$lt": _ordered("$lt"),
    "$lte": _ordered("$lte"),
    "$exists": _exists,
    "$contains": _contains,
    "$not_contains": lambda key, operand, where: Not(_contains(key, operand, where, "$not_contains")),
}


def _scalar(value: Any, where: str, operator: str) -> Scalar:
    if value is not None and not isinstance(value, str | int | float):
        raise InvalidFilter(
            f"{where} takes a string, number, boolean or null, not {_kind(value)}", operator=operator
        )
    if isinstance(value, str):
        _check_text(value, where, operator)
    if isinstance(value, int | float) and not _is_finite(value):
        raise InvalidFilter(f"{where} takes a finite number that 64 bits can hold", operator=operator)
    return value


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond every float
        return False


def _check_text(text: str, where: str, operator: str | None) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidFilter(f"{where!a} has text that is not valid Unicode", operator) from None


def _all_of(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _any_of(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


def _count_conditions(tree: Filter) -> int:
    """Empty parts count too: each of them costs SQLite something."""
    match tree:
        case AllOf(parts) | AnyOf(parts):
            return max(1, sum(map(_count_conditions, parts)))
        case Not(part):
            return _count_conditions(part)
        case _:
            return 1


def _short(text: str) -> str:
    """As much of a key as a message needs."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _kind(value: Any) -> str:
    names = {
        "dict": "an object",
        "list": "a list",
        "str": "a string",
        "bool": "a boolean",
        "NoneType": "null",
    }
    return names.get(type(value).__name__, "a number" if isinstance(value, int | float) else "that")
