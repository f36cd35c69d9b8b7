"""Which words a passage is found by, as PostgreSQL's tsvector: cut by the tokenizers of SQLite's FTS5, so
that words, stems and what is counted of them are those of the embedded store.

A word of the title has the weight A, one of the text D. PostgreSQL remembers 255 places of a word, the first
16,383 places of a text, and 1 MB of a passage's words: of a passage that is longer than any other store would
want, what comes behind counts less or not at all.
"""

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Final, NamedTuple, TypeAlias

from index.rows import Tokenizer

_CUT_BY: Final = {
    "porter": "porter unicode61",
    "unicode61": "unicode61 remove_diacritics 2",
    "trigram": "trigram",
}
# As in ``full_text``: a text's last two characters begin a trigram each, so that shorter pieces are found.
_PADDING: Final = {"porter": "", "unicode61": "", "trigram": "  "}
_TITLE: Final = 3 << 14
_MAX_PLACE: Final = 2**14 - 1
_MAX_PLACES: Final = 255
_MAX_WORD_BYTES: Final = 2**11 - 2
_MAX_BYTES: Final = 1_000_000
_INSTANCES: Final = "SELECT doc, term, col = 'title', offset FROM instances"


Text: TypeAlias = tuple[str, str, str | None]
"""The title, the heading and the text of a passage."""


class Words(NamedTuple):
    """The words of a passage, a tsvector in PostgreSQL's binary form, and how many they are."""

    vector: bytes
    total: int


class Token(NamedTuple):
    """A word in UTF-8, and where it stands: in the title or not, and behind how many others."""

    word: bytes
    in_title: bool
    place: int


class Cutter:
    """SQLite's tokenizer, in memory; used by one thread at a time."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.text_factory = bytes
        cut_by = _CUT_BY[tokenizer]
        self._connection.execute(
            f"CREATE VIRTUAL TABLE words USING fts5 (title, text, content = '', tokenize = '{cut_by}')"
        )
        self._connection.execute("CREATE VIRTUAL TABLE instances USING fts5vocab (words, 'instance')")

    def cut(self, rows: Sequence[tuple[str, str]]) -> list[list[Token]]:
        """The tokens of each (title, text), those of one word beside each other."""
        # At a NUL some tokenizers would end.
        values = [
            (n, title.replace("\0", " "), text.replace("\0", " ")) for n, (title, text) in enumerate(rows)
        ]
        self._connection.executemany("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", values)
        found: list[list[Token]] = [[] for _ in rows]
        for n, *token in self._connection.execute(_INSTANCES):
            found[n].append(Token(_short(token[0]), bool(token[1]), token[2]))
        self._connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
        return found

    def close(self) -> None:
        self._connection.close()


def encode_words(tokenizer: Tokenizer, texts: Iterable[Text]) -> list[Words]:
    """The words of each passage; a text of 200 words takes half a millisecond."""
    padding = _PADDING[tokenizer]
    rows = [
        (f"{title} {heading}".strip(" ") + padding, (text or "") + padding) for title, heading, text in texts
    ]
    with closing(Cutter(tokenizer)) as cutter:
        return [_encoded(tokens) for tokens in cutter.cut(rows)]


def _short(word: bytes) -> bytes:
    """As much of a word as PostgreSQL takes; what is asked for is cut in the same way."""
    if len(word) <= _MAX_WORD_BYTES:
        return word
    return word[:_MAX_WORD_BYTES].decode(errors="ignore").encode()


def _encoded(tokens: Sequence[Token]) -> Words:
    # The text's places come behind the title's and a gap, over which no phrase reaches.
    behind = 2 + max((token.place for token in tokens if token.in_title), default=-2)
    places: dict[bytes, dict[int, int]] = {}
    for word, in_title, place in tokens:
        at = min(1 + place if in_title else 1 + behind + place, _MAX_PLACE)
        places.setdefault(word, {}).setdefault(at, _TITLE if in_title else 0)
    words, size = [], 0
    for word, weights in sorted(places.items(), key=lambda entry: min(entry[1])):
        first = sorted(weights.items())[:_MAX_PLACES]
        size += len(word) + 4 + 2 * len(first)
        if size > _MAX_BYTES:
            break
        marks = [place | weight for place, weight in first]
        words.append(word + struct.pack(f">xH{len(marks)}H", len(marks), *marks))
    return Words(struct.pack(">i", len(words)) + b"".join(words), len(tokens))
