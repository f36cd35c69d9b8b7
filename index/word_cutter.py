"""Texts cut into words as a collection's index cuts them: FTS5 cuts and stems, so FTS5 is asked."""

import sqlite3
from collections.abc import Sequence
from typing import Final, TypeAlias

from index.full_text import CUT_BY
from index.rows import Tokenizer

_INSTANCES: Final = "SELECT doc, term, col = 'title', offset FROM instances"

Token: TypeAlias = tuple[int, bytes, int, int]
"""Of which text, a word in UTF-8, and where it stands: 1 in the title or 0, and behind how many others."""


class Cutter:
    """SQLite's tokenizer, in memory; of the thread that made it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.text_factory = bytes
        cut_by = CUT_BY[tokenizer]
        self._connection.execute(
            f"CREATE VIRTUAL TABLE words USING fts5 (title, text, content = '', tokenize = '{cut_by}')"
        )
        self._connection.execute("CREATE VIRTUAL TABLE instances USING fts5vocab (words, 'instance')")
        # Never ended: at the end of each FTS5 would put its words in order.
        self._connection.execute("BEGIN")

    def cut(self, rows: Sequence[tuple[str, str]]) -> list[list[Token]]:
        """The tokens of each (title, text), those of one word beside each other."""
        # At a NUL some tokenizers would end.
        values = [
            (n, title.replace("\0", " "), text.replace("\0", " ")) for n, (title, text) in enumerate(rows)
        ]
        self._connection.executemany("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", values)
        found: list[list[Token]] = [[] for _ in rows]
        for token in self._connection.execute(_INSTANCES):
            found[token[0]].append(token)
        self._connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
        return found

    def close(self) -> None:
        self._connection.close()
