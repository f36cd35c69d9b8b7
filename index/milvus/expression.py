"""A filter as a Milvus expression over rows that have a document's ``terms``; ``filter_match`` defines it.

The expression holds for every row whose document matches, and seldom for others: those are dropped when they
are joined. What an operator cannot say exactly it says too widely, and so does its complement; therefore
``$not`` goes down to the conditions, and ``not`` stands before nothing but a set of terms. Values that are
not plainly safe inside an expression are not put there.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from index.filter_match import comparable
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
)
from index.milvus.terms import LONGEST_VALUE, term

ALL: Final = "moment >= 0"
_NONE: Final = "moment < 0"
_ORDER: Final[dict[Ordering, str]] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_COMPLEMENT: Final = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_PLAIN_KEY: Final = re.compile(r"[\w .-]{1,200}")
# Without what LIKE, or a string in an expression, gives a meaning.
_PLAIN_PART: Final = re.compile(r"[^\W_](?:[\w .:/@-]*[^\W_])?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Between these an integer and the float nearest to it are one number.
_EXACT: Final = range(-(2**53) + 1, 2**53)


def expression_of(tree: Filter | None, now_ms: int) -> str:
    """What holds for the rows that match and have not expired at ``now_ms`` (since 1970, in UTC)."""
    living = f"expires_at > {now_ms}"
    found = ALL if tree is None else _holds(tree, wanted=True)
    return living if found == ALL else f"{living} and ({found} or cut == true)"


def documents_among(ids: Iterable[str]) -> str:
    """What holds for the rows of these documents."""
    return f"document_id in [{', '.join(map(_text, ids))}]"


def keys_among(keys: Iterable[str]) -> str:
    """What holds for the rows of these primary keys."""
    return f"key in [{', '.join(map(_text, keys))}]"


def _holds(tree: Filter, *, wanted: bool) -> str:
    """What holds wherever the tree is as it is wanted, true or false."""
    match tree:
        case AllOf(parts):
            return _joined([_holds(part, wanted=wanted) for part in parts], every=wanted)
        case AnyOf(parts):
            return _joined([_holds(part, wanted=wanted) for part in parts], every=not wanted)
        case Not(part):
            return _holds(part, wanted=not wanted)
        case _ if tree.key == DOCUMENT_ID:
            return _of_id(tree, wanted=wanted)
        case _:
            return _of_terms(tree, wanted=wanted)


def _joined(parts: Sequence[str], *, every: bool) -> str:
    neutral, deciding, word = (ALL, _NONE, " and ") if every else (_NONE, ALL, " or ")
    if deciding in parts:
        return deciding
    telling = [part for part in dict.fromkeys(parts) if part != neutral]
    if not telling:
        return neutral
    return telling[0] if len(telling) == 1 else f"({word.join(telling)})"


def _of_terms(tree: Condition, *, wanted: bool) -> str:
    match tree:
        case Exists(key):
            return _has([term("exists", key)], wanted=wanted)
        case OneOf(key, choices):
            held = [one for one in map(comparable, choices) if one is not None]
            return _has([term("equals", key, one) for one in held], wanted=wanted)
        case Contains(key, operand):
            return _contains(key, operand, wanted=wanted)
        case Compared(key, order, operand) if key != ACL:
            return _compared(key, _ORDER[order], operand, wanted=wanted)
        case _:
            return _NONE if wanted else ALL


def _contains(key: str, operand: object, *, wanted: bool) -> str:
    element = comparable(operand)
    assert element is not None, "a filter's operands are scalars"
    in_list = _has([term("contains", key, element)], wanted=wanted)
    if not isinstance(operand, str) or key == ACL:
        return in_list
    if not wanted:  # whether a text does not contain it is seen when rows are joined
        return in_list
    condition = f'like "%{operand}%"' if _PLAIN_PART.fullmatch(operand) else None
    return _joined([in_list, _valued("text", key, condition)], every=False)


def _compared(key: str, order: str, operand: str | float, *, wanted: bool) -> str:
    kind = comparable(operand)
    assert kind is not None, "a filter's operands are scalars"
    assert kind[0] != "word", "only texts and numbers are compared"
    literal = _literal(operand)
    order = order if wanted else _COMPLEMENT[order]
    held = _valued(kind[0], key, None if literal is None else f"{order} {literal}")
    if wanted:
        return held
    return _joined([_has([term(kind[0], key)], wanted=False), held], every=False)


def _valued(kind: Literal["text", "number"], key: str, condition: str | None) -> str:
    """That the value is of this kind and, as far as it can be said, what the condition says of it."""
    is_of_kind = _has([term(kind, key)], wanted=True)
    if condition is None or not _PLAIN_KEY.fullmatch(key):
        return is_of_kind
    return f'({is_of_kind} and (values["{key}"] {condition} or {_has([term("left out", key)], wanted=True)}))'


def _of_id(tree: Condition, *, wanted: bool) -> str:
    never, always = (_NONE, ALL) if wanted else (ALL, _NONE)
    match tree:
        case OneOf(_, choices):
            ids = [one for one in choices if isinstance(one, str) and not _CONTROL.search(one)]
            if not ids:
                return never
            return f"document_id {'in' if wanted else 'not in'} [{', '.join(map(_text, ids))}]"
        case Compared(_, order, str() as operand):
            sign = _ORDER[order] if wanted else _COMPLEMENT[_ORDER[order]]
            return ALL if _CONTROL.search(operand) else f"document_id {sign} {_text(operand)}"
        case Contains(_, str() as operand):
            plain = wanted and _PLAIN_PART.fullmatch(operand)
            return f'document_id like "%{operand}%"' if plain else ALL
        case Exists():
            return always
        case _:  # an id is a text, whatever else is asked of it does not hold
            return never


def _has(terms: Sequence[int], *, wanted: bool) -> str:
    """That a row has one of the terms; or none of them, if that is wanted."""
    if not terms:
        return _NONE if wanted else ALL
    found = f"array_contains_any(terms, [{', '.join(map(str, terms))}])"
    return found if wanted else f"not {found}"


def _literal(operand: str | float) -> str | None:
    """None for what would be another value there."""
    if isinstance(operand, str):
        plain = len(operand) <= LONGEST_VALUE and not _CONTROL.search(operand)
        return _text(operand) if plain else None
    return repr(operand) if int(operand) in _EXACT else None


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
