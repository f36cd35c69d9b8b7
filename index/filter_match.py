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

# Whether a document matches: its id, its metadata as it comes out of JSON, and its tags.
Matcher: TypeAlias = Callable[[str, Mapping[str, Any], Sequence[str]], bool]

MISSING: Final = object()
_ORDERS: Final[Mapping[Ordering, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_INTEGERS: Final = range(-(2**63), 2**63)


def matches(tree: Filter, document_id: str, metadata: Mapping[str, Any], acl: Sequence[str] = ()) -> bool:
    """Whether the document matches; for several, ask ``matcher`` once."""
    return matcher(tree)(document_id, metadata, acl)


def matcher(tree: Filter) -> Matcher:
    """What says of documents whether they match; a look into each takes no longer for many choices."""
    match tree:
        case AllOf(parts):
            needed = [matcher(part) for part in parts]
            return lambda *document: all(each(*document) for each in needed)
        case AnyOf(parts):
            enough = [matcher(part) for part in parts]
            return lambda *document: any(each(*document) for each in enough)
        case Not(part):
            refused = matcher(part)
            return lambda *document: not refused(*document)
        case _:
            key, holds = tree.key, _holder(tree)
            return lambda *document: holds(value_at(key, *document))


def _holder(condition: Condition) -> Callable[[Any], bool]:
    """What says of the value under the condition's key whether it holds."""
    match condition:
        case Exists():
            return lambda value: value is not MISSING
        case OneOf(_, choices):
            wanted = frozenset(map(comparable, choices))
            return lambda value: (held := comparable(value)) is not None and held in wanted
        case Contains(_, operand):
            return lambda value: _contains(value, operand)
        case Compared(_, order, operand):
            asked, is_so = comparable(operand), _ORDERS[order]
            assert asked is not None
            kind = asked[0]
            return lambda value: (
                (held := comparable(value)) is not None and held[0] == kind and is_so(held, asked)
            )


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


def _contains(value: Any, operand: Scalar) -> bool:
    if isinstance(value, list):
        asked = comparable(operand)
        return any(comparable(element) == asked for element in value)
    return isinstance(value, str) and isinstance(operand, str) and operand in value
