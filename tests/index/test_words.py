"""A user's words as an FTS5 query, and the fusion of rankings."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.fusion import fuse
from index.lexical import MAX_TERMS, match_expression


@given(st.text())
def test_nothing_that_a_user_types_is_a_syntax_error(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(title, tokenize='porter unicode61')")
    expression = match_expression(text)
    if expression is not None:
        connection.execute("SELECT * FROM words WHERE words MATCH ?", (expression,)).fetchall()
    connection.close()


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("What is the Normans' capital?", '"normans" OR "capital"'),
        ("who are they", '"who" OR "are" OR "they"'),
        ("fish FISH Fish", '"fish"'),
        ('say "NEAR(" AND *', '"say" OR "near"'),
        ("C++ & e-mail", '"c" OR "e" OR "mail"'),
        ("?!", None),
        ("", None),
    ],
)
def test_telling_words_are_kept_once_and_quoted(text: str, expression: str | None) -> None:
    assert match_expression(text) == expression


def test_terms_are_capped() -> None:
    assert match_expression(" ".join(f"w{n}" for n in range(500))).count(" OR ") == MAX_TERMS - 1


def test_what_both_rankings_have_comes_first() -> None:
    assert list(fuse([[1, 2, 3], [4, 3, 5]])) == [3, 1, 4, 2, 5]


def test_a_ranking_alone_keeps_its_order() -> None:
    assert fuse([[9, 7], []]) == {9: 1 / 61, 7: 1 / 62}
