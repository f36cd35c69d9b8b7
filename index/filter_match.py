"""What a filter means, in plain Python: the definition that SQL and the bitmaps are held to.

Numbers are as SQLite reads them: integers of 64 bits, all others floats. So 2**64 and 2**64 + 1 are the same
number, while 2**53 and 2**53 + 1 are two.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from index.filters import (
    ACL,
    DOCUMENT_ID,
    AllOf,
    AnyOf,
    Compared,
    Condition,
    Contains,
    Exists,
    Filter,
    Not,
    OneOf,
    Ordering,
    Scalar,
    steps_of,
)

Kind: TypeAlias = Literal["text", "number", "word"]
# Two scalars are equal if these are; those of one kind can be ordered.
Comparable: TypeAlias = tuple[Kind, str | int | float]

MISSING: Final = object()
_ORDERS: Final[Mapping[Ordering, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_INTEGERS: Final = range(-(2**63), 2**63)


def matches(tree: Filter, document_id: str, metadata: Mapping[str, Any], acl: Sequence[str] = ()) -> bool:
    """Whether the document matches; ``metadata`` is as it comes out of JSON, ``acl`` its tags."""
    match tree:
        case AllOf(parts):
            return all(matches(part, document_id, metadata, acl) for part in parts)
        case AnyOf(parts):
            return any(matches(part, document_id, metadata, acl) for part in parts)
        case Not(part):
            return not matches(part, document_id, metadata, acl)
        case _:
            return _holds(tree, value_at(tree.key, document_id, metadata, acl))


def _holds(condition: Condition, value: Any) -> bool:
    match condition:
        case Exists():
            return value is not MISSING
        case OneOf(_, choices):
            return _is_one_of(value, choices)
        case Contains(_, operand):
            return _contains(value, operand)
        case Compared(_, order, operand):
            held, asked = comparable(value), comparable(operand)
            same_kind = held is not None and asked is not None and held[0] == asked[0]
            return same_kind and _ORDERS[order](held, asked)


def value_at(key: str, document_id: str, metadata: Mapping[str, Any], acl: Sequence[str] = ()) -> Any:
    """The value that a filter's key means: the id, the tags, the key as it stands, or else what its steps
    lead to; ``MISSING`` if there is none.
    """
    if key == DOCUMENT_ID:
        return document_id
    if key == ACL:
        return list(acl) or MISSING
    if key in metadata:
        return metadata[key]
    value: Any = metadata
    for step in steps_of(key):
        if not isinstance(value, Mapping) or step not in value:
            return MISSING
        value = value[step]
    return value


def comparable(value: Any) -> Comparable | None:
    """What a scalar is compared by; None for lists, objects and what is missing."""
    if isinstance(value, str):
        return "text", value
    if value is None or isinstance(value, bool):
        return "word", {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return "number", _as_stored(value)
    return None


def _as_stored(number: float) -> float:
    if isinstance(number, float) or number in _INTEGERS:
        return number
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _is_one_of(value: Any, choices: tuple[Scalar, ...]) -> bool:
    held = comparable(value)
    return held is not None and any(held == comparable(choice) for choice in choices)


def _contains(value: Any, operand: Scalar) -> bool:
    if isinstance(value, list):
        return any(_is_one_of(element, (operand,)) for element in value)
    return isinstance(value, str) and isinstance(operand, str) and operand in value
