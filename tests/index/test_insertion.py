"""Rows go in whole, in order and all of them, however many there are."""

import sqlite3
from contextlib import closing

import pytest

from index.insertion import insert_rows


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 149])
def test_every_row_is_there_once_and_in_order(count: int) -> None:
    rows = [(n, f"row {n}", bytes([n])) for n in range(count)]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE kept (n INTEGER, text TEXT, blob BLOB)")
        insert_rows(connection, "kept", rows)
        assert connection.execute("SELECT * FROM kept ORDER BY rowid").fetchall() == rows


@pytest.mark.parametrize("twice", [3, 70])
def test_a_row_that_cannot_be_there_is_an_error(twice: int) -> None:
    rows = [(n,) for n in range(70)]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE kept (n INTEGER UNIQUE)")
        with pytest.raises(sqlite3.IntegrityError):
            insert_rows(connection, "kept", [*rows[:twice], (3,) if twice > 3 else (0,), *rows[twice:]])
