"""Metadata as filters see it: the same JSON, each number written as what it is compared by.

PostgreSQL's JSON has one kind of number, of any precision, and ``index.filter_match`` has two: integers of 64
bits, all others floats. Of a float, Python writes as many digits as tell it from its neighbours; beyond 2**53
that may be the digits of another integer. So every float there is written as the integer it is, and what no
float holds as one number beyond all.
"""

import re
from typing import Any, Final

from index.codec import decode_json, encode_json
from index.filter_match import comparable

# All that are beyond every float are equal.
_BEYOND: Final = 10**309
_INTEGERS_ONLY: Final = 2.0**53
# A number is written differently only if it has that many digits or an exponent.
_MAY_DIFFER: Final = re.compile(r"\d{16}|\d[eE][+-]?\d", re.ASCII)


def encode_filterable(metadata: str) -> str:
    """The metadata, JSON as ``index.codec.encode_metadata`` gives it, for ``jsonb``."""
    return encode_json(_written(decode_json(metadata))) if _MAY_DIFFER.search(metadata) else metadata


def encode_number(number: float) -> str:
    """A number that a filter asks for, written in the same way."""
    return encode_json(_number(number))


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_written(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    return value


def _number(number: float) -> float:
    held = comparable(number)
    assert held is not None
    value = float(held[1]) if isinstance(held[1], float) else held[1]
    if not isinstance(value, float) or abs(value) < _INTEGERS_ONLY:
        assert not isinstance(value, str)
        return value
    if abs(value) == float("inf"):
        return _BEYOND if value > 0 else -_BEYOND
    return int(value)
