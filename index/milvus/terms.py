"""What a document can be filtered by, in a form that Milvus compares as we do.

Milvus's JSON knows other types and other nulls than our filters, and another server may know others still. So
what a filter may ask to be equal, to be contained or to exist is a *term*: a number of 64 bits made from all
that it says, the type included. A row has the set of its document's terms, and whether a number is in a set
is the same everywhere. Only what has an order is kept as it is, texts and numbers by their key.

Two different terms are one number once in 2**64 pairs; a filter may then meet a row too many, which is
dropped when it is joined, or with ``$ne`` and the like one too few.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Literal, TypeAlias

from index.codec import encode_json
from index.filter_match import Comparable, comparable
from index.filters import ACL, DOCUMENT_ID

Kind: TypeAlias = Literal["exists", "equals", "contains", "text", "number", "left out"]

# Milvus takes so many elements in an array, and about so many bytes of JSON.
MOST_TERMS: Final = 4096
_MOST_BYTES: Final = 60_000
# Longer texts are no names and no dates.
LONGEST_VALUE: Final = 1_000
_INTEGERS: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Attributes:
    """A document's ``terms``, ascending, and its ``values`` that have an order. A value that does not fit is
    left out, and a term says so. Where there are too many they are not ``whole``, and there are none: then a
    filter can say nothing about the document.
    """

    terms: list[int]
    values: Mapping[str, str | float]
    whole: bool


def attributes_of(metadata: Mapping[str, Any], acl: Sequence[str]) -> Attributes:
    """Of a document with this metadata and these tags."""
    terms: set[int] = set()
    values: dict[str, str | float] = {}
    for key, value in _keyed(metadata):
        terms.update(_terms(key, value))
        if (held := comparable(value)) is not None and held[0] != "word" and _fits(key, held):
            values[key] = held[1]
    if acl:
        terms.update(_terms(ACL, list(acl)))
    if len(terms) > MOST_TERMS or len(encode_json(values).encode()) > _MOST_BYTES:
        return Attributes([], {}, whole=False)
    return Attributes(sorted(terms), values, whole=True)


def term(kind: Kind, key: str, value: Comparable | None = None) -> int:
    """The number that says this; ``value`` is what is equal or contained."""
    told = json.dumps([kind, key, None if value is None else [value[0], _canonical(value[1])]])
    return int.from_bytes(hashlib.blake2b(told.encode(), digest_size=8).digest(), "little", signed=True)


def _terms(key: str, value: Any) -> Iterator[int]:
    yield term("exists", key)
    held = comparable(value)
    if held is not None:
        yield term("equals", key, held)
        if held[0] != "word":
            yield term(held[0], key)
            if not _fits(key, held):
                yield term("left out", key)
    elif isinstance(value, list):
        yield from (term("contains", key, one) for one in map(comparable, value) if one is not None)


def _keyed(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key that a filter can name, with the value that it means; see ``filter_match.value_at``."""
    for key, value in metadata.items():
        if key != DOCUMENT_ID:
            yield key, value
        if "." not in key:
            yield from (found for found in _inside(key, value) if found[0] not in metadata)


def _inside(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if "." not in key:
                yield f"{path}.{key}", inner
                yield from _inside(f"{path}.{key}", inner)


def _canonical(value: str | float) -> str:
    """Equal numbers have one form."""
    if isinstance(value, str):
        return value
    if type(value) is float and value.is_integer() and int(value) in _INTEGERS:
        value = int(value)
    return repr(value)


def _fits(key: str, held: Comparable) -> bool:
    value = held[1]
    fits = len(value) <= LONGEST_VALUE if isinstance(value, str) else isfinite(value)
    return fits and len(key) <= LONGEST_VALUE
