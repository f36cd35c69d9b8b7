"""Many rows into a table of SQLite, in few steps of it.

Between two steps a thread has to get Python's lock again, and beside one that computes it may wait 5 ms for
that, so a statement for each row would leave the writer standing most of the time.
"""

# ruff: noqa: S608 - statements are put together from names of tables; values are bound.

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

_ROWS: Final = 50
"""In one statement; SQLite takes 32,766 values."""


def insert_rows(connection: sqlite3.Connection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows that have a value for every column, in order; if one cannot be, those of its statement are
    not there, and those before it are.
    """
    if not rows:
        return
    one = f"({', '.join('?' * len(rows[0]))})"
    whole = len(rows) - len(rows) % _ROWS
    groups = (chain.from_iterable(rows[start : start + _ROWS]) for start in range(0, whole, _ROWS))
    statement = f"INSERT INTO {table} VALUES "
    connection.executemany(statement + ", ".join([one] * _ROWS), map(list, groups))
    connection.executemany(statement + one, rows[whole:])
