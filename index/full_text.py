"""The full-text index in SQL: how it is made, and what is found in it. Knows nothing of what users type."""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import json
import sqlite3
from collections.abc import Sequence
from typing import Final

from index.filter_sql import Condition
from index.readers import Readers
from index.rows import Tokenizer

# Vietnamese has letters with two marks, which the tokenizer's default leaves alone.
_CUT_BY: Final = {"unicode61": "unicode61 remove_diacritics 2", "trigram": "trigram"}
# Two spaces behind a text make its last two characters begin a trigram each, as all others do, so that
# shorter pieces of text are found by the trigrams that begin with them.
_PADDED_VIEW: Final = """CREATE VIEW passage_words AS
    SELECT p.seq, trim(d.title || ' ' || p.heading) || '  ' AS title, coalesce(p.text, '') || '  ' AS text
    FROM passages AS p JOIN documents AS d ON d.key = p.document"""
# A short piece of text stands for so many trigrams at most, the commonest.
_TRIGRAMS_PER_PIECE: Final = 32


def cut_by(connection: sqlite3.Connection, tokenizer: Tokenizer) -> None:
    """Make the index of a new collection, which has one for English stems, again for another tokenizer."""
    if tokenizer == "porter":
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE words")
    connection.execute(
        "CREATE VIRTUAL TABLE words USING fts5 (title, text, content = 'passage_words',"
        f" content_rowid = 'seq', tokenize = '{_CUT_BY[tokenizer]}')"
    )
    if tokenizer == "trigram":
        connection.execute("DROP VIEW passage_words")
        connection.execute(_PADDED_VIEW)
        connection.execute("CREATE VIRTUAL TABLE trigrams USING fts5vocab (words, 'row')")
    connection.execute("COMMIT")


async def matching(
    readers: Readers, expression: str, among: Condition, weights: tuple[float, float], limit: int
) -> list[tuple[int, float]]:
    """(seq, BM25 > 0) of the ``limit`` points that match the FTS5 expression best; ties in order of seq.

    ``weights`` are those of a word in the title and in the text.
    """
    sql = (
        f"SELECT w.rowid, -bm25(words, ?, ?) AS score FROM words AS w {_only(among)}"
        f" WHERE words MATCH ? AND ({among.sql}) ORDER BY score DESC, w.rowid LIMIT ?"
    )
    rows = await readers.rows(sql, (*weights, expression, *among.parameters, limit))
    return [(row[0], row[1]) for row in rows]


async def trigrams_of(readers: Readers, pieces: Sequence[str]) -> dict[str, list[str]]:
    """The trigrams of the index that begin with each of these pieces of one or two characters."""
    sql = "SELECT term FROM trigrams WHERE term >= ? AND term < ? ORDER BY doc DESC, term LIMIT ?"
    return {
        piece: [row[0] for row in await readers.rows(sql, (piece, f"{piece}\U0010ffff", _TRIGRAMS_PER_PIECE))]
        for piece in pieces
    }


async def passages_with(readers: Readers, words: Sequence[str], after: int) -> dict[str, int]:
    """How many points behind the seq ``after`` have each word, in any of its forms."""
    sql = (
        "SELECT value, (SELECT count(*) FROM words WHERE words MATCH '\"' || value || '\"' AND rowid > ?)"
        " FROM json_each(?)"
    )
    return dict(await readers.rows(sql, (after, json.dumps(words))))


def _only(among: Condition) -> str:
    if among.sql == "1":
        return ""
    return "JOIN passages AS p ON p.seq = w.rowid JOIN documents AS d ON d.key = p.document"
