"""What the index has in the place of a word: FTS5 cuts and stems, so FTS5 is asked."""

import sqlite3

from index import full_text
from index.lexical import unquoted
from index.rows import Tokenizer


class WordCutter:
    """Cuts as a collection of this tokenizer does; used on one thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute(
            f"CREATE VIRTUAL TABLE words USING fts5 (word, tokenize = '{full_text.CUT_BY[tokenizer]}')"
        )
        self._connection.execute("CREATE VIRTUAL TABLE places USING fts5vocab (words, 'instance')")

    def token(self, phrase: str) -> str | None:
        """The one token of an FTS5 string; None if it has more or none, or is the beginning of one."""
        if phrase.endswith("*"):
            return None
        self._connection.execute("INSERT INTO words (rowid, word) VALUES (1, ?)", (unquoted(phrase),))
        tokens = self._connection.execute("SELECT term FROM places LIMIT 2").fetchall()
        self._connection.execute("DELETE FROM words")
        return tokens[0][0] if len(tokens) == 1 else None
