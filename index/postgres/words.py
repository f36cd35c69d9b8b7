"""Which words a passage is found by, as PostgreSQL's tsvector: cut by the tokenizers of SQLite's FTS5, so
that words, stems and what is counted of them are those of the embedded store.

A word of the title has the weight A, one of the text D. PostgreSQL remembers 255 places of a word, the first
16,383 places of a text, and 1 MB of a passage's words: of a passage that is longer than any other store would
want, what comes behind counts less or not at all.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Final, NamedTuple, TypeAlias

from index.rows import Tokenizer
from index.word_cutter import Cutter, Token

# As in ``full_text``: a text's last two characters begin a trigram each, so that shorter pieces are found.
_PADDING: Final = {"porter": "", "unicode61": "", "trigram": "  "}
_TITLE: Final = 3 << 14
_MAX_PLACE: Final = 2**14 - 1
_MAX_PLACES: Final = 255
_MAX_WORD_BYTES: Final = 2**11 - 2
_MAX_BYTES: Final = 1_000_000
# What a place may be behind how many tokens there are: see ``_encoded``.
_GAP: Final = 4


Text: TypeAlias = tuple[str, str, str | None]
"""The title, the heading and the text of a passage."""


class Words(NamedTuple):
    """The words of a passage, a tsvector in PostgreSQL's binary form, and how many they are."""

    vector: bytes
    total: int


def encode_words(tokenizer: Tokenizer, texts: Iterable[Text]) -> list[Words]:
    """The words of each passage; a text of 200 words takes half a millisecond."""
    padding = _PADDING[tokenizer]
    rows = [
        (f"{title} {heading}".strip(" ") + padding, (text or "") + padding) for title, heading, text in texts
    ]
    with closing(Cutter(tokenizer)) as cutter:
        return [_encoded(tokens) for tokens in cutter.cut(rows)]


def shortened(word: bytes) -> bytes:
    """As much of a word as PostgreSQL takes; what is asked for is cut in the same way."""
    if len(word) <= _MAX_WORD_BYTES:
        return word
    return word[:_MAX_WORD_BYTES].decode(errors="ignore").encode()


def _encoded(tokens: Sequence[Token]) -> Words:
    # The text's places come behind the title's and a gap, over which no phrase reaches.
    behind = 3 + max([place for _, _, in_title, place in tokens if in_title], default=-2)
    marks: dict[bytes, list[int]] = {}
    for _, word, in_title, place in tokens:
        mark = (1 + place) | _TITLE if in_title else behind + place
        if word in marks:
            marks[word].append(mark)
        else:
            marks[word] = [mark]
    longest = max(map(len, marks), default=0)
    if len(tokens) + _GAP > _MAX_PLACE or longest > _MAX_WORD_BYTES:
        marks = _within(tokens, behind)
    once = _packer(1).pack  # of most words
    words = [
        word + once(1, found[0]) if len(found) == 1 else _packed(word, found) for word, found in marks.items()
    ]
    if sum(map(len, words)) > _MAX_BYTES:
        words = _first_of(marks)
    return Words(struct.pack(">i", len(words)) + b"".join(words), len(tokens))


def _within(tokens: Sequence[Token], behind: int) -> dict[bytes, list[int]]:
    """Where each word is marked of a text that has more places or longer words than PostgreSQL knows."""
    marks: dict[bytes, dict[int, int]] = {}
    for _, word, in_title, place in tokens:
        at = min(1 + place if in_title else behind + place, _MAX_PLACE)
        marks.setdefault(shortened(word), {}).setdefault(at, at | (_TITLE if in_title else 0))
    return {word: [places[at] for at in sorted(places)] for word, places in marks.items()}


def _packed(word: bytes, marks: Sequence[int]) -> bytes:
    first = marks[:_MAX_PLACES]
    return word + _packer(len(first)).pack(len(first), *first)


@cache
def _packer(marks: int) -> struct.Struct:
    return struct.Struct(f">xH{marks}H")


def _first_of(marks: Mapping[bytes, Sequence[int]]) -> list[bytes]:
    """As many of the words as PostgreSQL takes, those that come first."""
    words, size = [], 0
    for word, found in sorted(marks.items(), key=lambda entry: entry[1][0] & _MAX_PLACE):
        words.append(_packed(word, found))
        size += len(words[-1])
        if size > _MAX_BYTES:
            return words[:-1]
    return words
