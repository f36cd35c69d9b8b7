"""The full-text index in SQL: how it is made, and what is found in it. Knows nothing of what users type."""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from index.living import EXPIRED_SEQS
from index.readers import Readers
from index.rows import Tokenizer
from index.vectors import Keys

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


async def best(
    readers: Readers, phrases: Sequence[str], weights: tuple[float, float], limit: int, among: Keys | None
) -> list[tuple[int, float]]:
    """(seq, BM25 > 0) of the ``limit`` points that have any of the FTS5 strings ``phrases`` and score best;
    ties in order of seq.

    ``weights`` are those of a word in the title and in the text. Only points ``among`` these seqs count.
    """
    # The plus keeps SQLite from asking FTS5 for one row of the list after the other, which takes a hundred
    # times as long. Rows are looked up before they are scored: a list makes no search slower that finds many.
    listed = "" if among is None else "AND +w.rowid IN (SELECT value FROM json_each(?))"
    sql = (
        "SELECT w.rowid, -bm25(words, ?, ?) AS score FROM words AS w"
        f" WHERE words MATCH ? AND w.rowid NOT IN {EXPIRED_SEQS} {listed}"
        " ORDER BY score DESC, w.rowid LIMIT ?"
    )
    seqs = () if among is None else (json.dumps(among.tolist()),)
    rows = await readers.rows(sql, (*weights, _any_of(phrases), *seqs, limit))
    return [(row[0], row[1]) for row in rows]


async def scored(
    readers: Readers, phrases: Sequence[str], weights: tuple[float, float], behind: int
) -> list[tuple[Any, ...]]:
    """(seq, BM25 > 0) of every point behind the seq ``behind`` that has any of the FTS5 strings ``phrases``,
    in order of seq; those among them that have expired.
    """
    sql = "SELECT rowid, -bm25(words, ?, ?) FROM words WHERE words MATCH ? AND rowid > ? ORDER BY rowid"
    return await readers.rows(sql, (*weights, _any_of(phrases), behind))


def _any_of(phrases: Sequence[str]) -> str:
    return " OR ".join(phrases)


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
