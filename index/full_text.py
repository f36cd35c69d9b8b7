"""The full-text index in SQL: how it is made, and what is found in it. Knows nothing of what users type."""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import asyncio
import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

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
# To hand over so many seqs takes as long as to score a few thousand rows. Instead of more of them, SQLite is
# first asked for so many rows that there should be enough of them, with a margin.
_LISTED: Final = 20_000
_MARGIN: Final = 2
# Seqs that are written as JSON in passing, in about 0.2 ms.
_WRITTEN_AT_ONCE: Final = 2_000
# A short piece of text stands for so many trigrams at most, the commonest.
_TRIGRAMS_PER_PIECE: Final = 32


@dataclass(frozen=True, slots=True)
class Among:
    """The only points that count, as ascending ``seqs``, out of so many ``rows``."""

    seqs: Keys
    rows: int


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
    readers: Readers, expression: str, among: Among | None, weights: tuple[float, float], limit: int
) -> list[tuple[int, float]]:
    """(seq, BM25 > 0) of the ``limit`` points that match the FTS5 expression best; ties in order of seq.

    ``weights`` are those of a word in the title and in the text. Only points ``among`` these count.
    """
    if among is None:
        return await _best(readers, expression, weights, limit)
    if len(among.seqs) > _LISTED:
        wanted = math.ceil(_MARGIN * limit * among.rows / len(among.seqs))
        found = await _best(readers, expression, weights, wanted)
        counts = np.isin([seq for seq, _ in found], among.seqs)
        ours = [pair for pair, count in zip(found, counts, strict=True) if count]
        if len(ours) >= limit or len(found) < wanted:
            return ours[:limit]
    return await _best(readers, expression, weights, limit, among.seqs)


async def _best(
    readers: Readers, expression: str, weights: tuple[float, float], limit: int, among: Keys | None = None
) -> list[tuple[int, float]]:
    # The plus keeps SQLite from asking FTS5 for one row of the list after the other, which takes a hundred
    # times as long. Rows are looked up before they are scored: a list makes no search slower that finds many.
    listed = "" if among is None else "AND +w.rowid IN (SELECT value FROM json_each(?))"
    sql = (
        "SELECT w.rowid, -bm25(words, ?, ?) AS score FROM words AS w"
        f" WHERE words MATCH ? AND w.rowid NOT IN {EXPIRED_SEQS} {listed}"
        " ORDER BY score DESC, w.rowid LIMIT ?"
    )
    seqs = () if among is None else (await _as_json(among),)
    rows = await readers.rows(sql, (*weights, expression, *seqs, limit))
    return [(row[0], row[1]) for row in rows]


async def _as_json(seqs: Keys) -> str:
    if len(seqs) <= _WRITTEN_AT_ONCE:
        return json.dumps(seqs.tolist())
    return await asyncio.to_thread(_in_pieces, seqs)


def _in_pieces(seqs: Keys) -> str:
    """All of them in one call would keep Python's lock for as long as it takes."""
    starts = range(0, len(seqs), _WRITTEN_AT_ONCE)
    pieces = (json.dumps(seqs[start : start + _WRITTEN_AT_ONCE].tolist())[1:-1] for start in starts)
    return f"[{','.join(pieces)}]"


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
