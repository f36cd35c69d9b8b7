"""The rows that vector databases are compared over, alike for all of them: ids, texts, metadata and filters.

Knows no database. Imports nothing but the standard library: peers' own clients run with other packages.
"""

from collections.abc import Mapping
from typing import Final

K: Final = 10
# Alike for everyone: links of a row, width of the search that finds them, width of a question's search.
M: Final = 16
EF_CONSTRUCTION: Final = 200
EF: Final = 128
ROWS_PER_WRITE: Final = 500

KINDS: Final[Mapping[str, tuple[str, int] | None]] = {
    "plain": None,
    "filter 10 %": ("tenth", 10),
    "filter 1 %": ("hundredth", 100),
}
"""By kind of search: the key that a row has to have 0 under, and of how many rows one does."""


def id_of(row: int) -> str:
    return f"p{row}"


def text_of(row: int) -> str:
    return f"text {row}"


def metadata_of(row: int) -> dict[str, int]:
    """Rows are in a random order, so a remainder says nothing about where a row lies."""
    return {"n": row} | {key: row % modulus for key, modulus in filter(None, KINDS.values())}


def metadata_filter(kind: str) -> dict[str, int] | None:
    """As a client of most databases writes it; None where all rows match."""
    condition = KINDS[kind]
    return None if condition is None else {condition[0]: 0}


def matching(kind: str, rows: int) -> list[int]:
    """The rows that a search of that kind may find."""
    condition = KINDS[kind]
    return list(range(0, rows, condition[1] if condition else 1))


def metadata_keys() -> list[str]:
    return list(metadata_of(0))
