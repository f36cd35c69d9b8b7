"""The full-text index in SQL: how it is made, and what is found in it. Knows nothing of what users type."""

# ruff: noqa: S608 - statements are put together from constants of this package; values are bound.

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from index.living import EXPIRED_SEQS
from index.readers import Readers
from index.rows import Tokenizer
from index.vectors import Keys

# Vietnamese has letters with two marks, which the tokenizer's default leaves alone.
CUT_BY: Final[Mapping[Tokenizer, str]] = {
    "porter": "porter unicode61",
    "unicode61": "unicode61 remove_diacritics 2",
    "trigram": "trigram",
}
# Two spaces behind a text make its last two characters begin a trigram each, as all others do, so that
# shorter pieces of text are found by the trigrams that begin with them.
_PADDED_VIEW: Final = """CREATE VIEW passage_words AS
    SELECT p.seq, trim(d.title || ' ' || p.heading) || '  ' AS title, coalesce(p.text, '') || '  ' AS text
    FROM passages AS p JOIN documents AS d ON d.key = p.document"""
# Title and text.
_COLUMNS: Final = 2
# Of numbers written with commas, in about half a millisecond.
_READ_AT_ONCE: Final = 2**15
_MORE: Final = 128
_BITS: Final = 7
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
        f" content_rowid = 'seq', tokenize = '{CUT_BY[tokenizer]}')"
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


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows the index has, and how many words a row has on average."""

    rows: int
    mean_words: float


async def counts(readers: Readers) -> Counts:
    """Of all rows, as FTS5 keeps them: https://www.sqlite.org/fts5.html#fts5_data_structures"""
    [[record]] = await readers.few_rows("SELECT block FROM words_data WHERE id = 1")
    rows, *words = _varints(np.frombuffer(record, dtype=np.uint8)).tolist() or (0,)
    return Counts(rows, sum(words) / max(1, rows))


async def lengths(readers: Readers, behind: int, among: Sequence[int] | None = None) -> tuple[Keys, Keys]:
    """The seqs behind a seq, ascending, and how many words each has; only those ``among`` these, if given."""
    listed = "" if among is None else "AND id IN (SELECT value FROM json_each(?))"
    sql = (
        "SELECT group_concat(id), group_concat(hex(sz), '')"
        f" FROM (SELECT id, sz FROM words_docsize WHERE id > ? {listed} ORDER BY id)"
    )
    [[seqs, sizes]] = await readers.rows(sql, (behind, *(() if among is None else (json.dumps(among),))))
    if seqs is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    words = _varints(np.frombuffer(bytes.fromhex(sizes), dtype=np.uint8))
    return await _numbers(seqs), words.reshape(-1, _COLUMNS).sum(axis=1)


async def places(readers: Readers, token: str) -> Keys:
    """Where a token of the index stands, in order: twice the seq, and one more in a title; (n,)."""
    sql = "SELECT group_concat(2 * doc + (col = 'title')) FROM places WHERE term = ?"
    [[found]] = await readers.rows(sql, (token,))
    return np.empty(0, dtype=np.int64) if found is None else await _numbers(found)


async def _numbers(text: str) -> Keys:
    """Numbers between commas; many of them are read in a thread, a few at a time, for Python's lock."""
    if len(text) <= _READ_AT_ONCE:
        return np.fromstring(text, dtype=np.int64, sep=",")
    return await asyncio.to_thread(_in_pieces, text)


def _in_pieces(text: str) -> Keys:
    found, start = [], 0
    while start < len(text):
        end = text.find(",", start + _READ_AT_ONCE)
        end = len(text) if end < 0 else end
        found.append(np.fromstring(text[start:end], dtype=np.int64, sep=","))
        start = end + 1
    return np.concatenate(found)


def _varints(data: npt.NDArray[np.uint8]) -> Keys:
    """Numbers as SQLite writes them: seven bits a byte, the highest first, and in each but the last a bit
    more.
    """
    ends = np.flatnonzero(data < _MORE)
    sizes = np.diff(ends, prepend=-1)
    shifts = _BITS * (np.repeat(ends, sizes) - np.arange(len(data)))
    found: Keys = np.add.reduceat((data & (_MORE - 1)).astype(np.int64) << shifts, ends - sizes + 1)
    return found


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
