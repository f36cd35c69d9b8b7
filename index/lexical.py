"""Words: a user's text becomes an FTS5 query, and FTS5 ranks by BM25.

The query asks for any of the terms: words, "quoted words" that stand together in this order, and the
beginnings of words (begin*). Each is quoted, so that nothing a user types is FTS5 syntax. An OR query scores
every row that has one of its terms: words that say nothing are dropped unless nothing else is left,
duplicates too, and terms are capped.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from index.rows import Tokenizer

# A word in the title, and in the text; chosen by nDCG@10 over three collections.
WORD_WEIGHTS: Final = (2.0, 1.0)
MAX_TERMS: Final = 32
# Of a question longer than this only the beginning is read: its terms are capped anyway.
MAX_CHARACTERS: Final = 20_000
# The shortest piece of text that the trigram tokenizer indexes, and how many of them a query may ask for.
TRIGRAM: Final = 3
MAX_TRIGRAMS: Final = 64
# Where signs are that belong to the letter before them: accents, vowels, points. Only those count that are no
# letters to Python: with both, a text that ends unlike a word would be tried in exponentially many ways.
_MARKS: Final = (
    r"\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0971-\u0df3"
    r"\u0e31-\u0e4e\u0eb1-\u0ece\u0f71-\u0fbc\u102b-\u103e\u17b4-\u17d3"
)
# Letters and digits, as the tokenizer unicode61 cuts them; where it cuts at a mark, FTS5 looks for the parts
# beside each other.
_WORD: Final = rf"[^\W_]+(?:(?:(?!\w)[{_MARKS}])+[^\W_]*)*"
_TERM: Final = re.compile(_WORD)
_TERM_OR_PHRASE: Final = re.compile(rf'["“„«]([^"“”„«»]*)["”“»]|({_WORD})(\*?)')
# Kana, Han and Hangul, where a word of two characters says as much as a long one elsewhere.
_DENSE: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
_STOP_WORDS: Final = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being between both but
    by can could did do does doing during each few for from further had has have having he her here hers him
    his i if in into is it its itself just me more most my no nor not of off on once only or other our out
    over own s same she should so some such t than that the their them then there these they this those
    through to too under until up very was we were will with would you your
    how what when where which who whom whose why
    """.split()  # noqa: SIM905 (a hundred lines of one word each are no easier to read)
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a text is searched by: FTS5 strings, and pieces that are too short for a trigram index."""

    strings: tuple[str, ...]
    short: tuple[str, ...] = ()

    def phrases(self, trigrams: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
        """The FTS5 strings to look for, each once; ``trigrams`` has those of the index that begin with each
        short piece.
        """
        found = [quoted(trigram) for piece in self.short for trigram in (trigrams or {}).get(piece, ())]
        return tuple(dict.fromkeys([*self.strings, *found]))


def read_terms(text: str, tokenizer: Tokenizer = "porter") -> Terms:
    """What a user's text is searched by, in a collection whose words are cut in this way."""
    # What is no Unicode, or ends a string in C, is nobody's word.
    text = text[:MAX_CHARACTERS].encode(errors="replace").decode().replace("\0", " ").lower()
    found = [(match[0], *match.groups()) for match in _TERM_OR_PHRASE.finditer(text)]
    telling = [parts for whole, *parts in found if whole not in _STOP_WORDS] or [parts for _, *parts in found]
    if tokenizer == "trigram":
        return _trigram_terms([(phrase or "", word or "") for phrase, word, _ in telling])
    return Terms(_distinct(_string(*parts) for parts in telling)[:MAX_TERMS])


def plain_words(words: Iterable[str], tokenizer: Tokenizer = "porter") -> list[str]:
    """Those of ``words`` that are nothing but letters and digits and can be looked up, each once, as many as
    a query may have.
    """
    least = TRIGRAM if tokenizer == "trigram" else 1
    plain = (word for word in dict.fromkeys(words) if len(word) >= least and _TERM.fullmatch(word))
    return list(plain)[:MAX_TERMS]


def inverse_frequency(passages: int, having: int) -> float:
    """How much a word tells that ``having`` of so many passages have, as in BM25; above 0.

    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, with the 1 that
    Lucene adds in the logarithm.
    """
    having = min(having, passages)
    return math.log1p((passages - having + 0.5) / (having + 0.5))


def quoted(text: str) -> str:
    """``text`` as an FTS5 string."""
    return '"' + text.replace('"', '""') + '"'


def unquoted(string: str) -> str:
    """The text of an FTS5 string, or of the beginning of one."""
    return string.removesuffix(" *")[1:-1].replace('""', '"')


def _string(phrase: str | None, word: str | None, star: str | None) -> str:
    """A phrase, a word, or the beginning of a word; of one letter it would be the beginning of too many."""
    if word is None:
        return quoted(" ".join(_TERM.findall(phrase or "")[:MAX_TERMS]))
    return quoted(word) + (" *" if star and len(word) > 1 else "")


def _trigram_terms(found: Sequence[tuple[str, str]]) -> Terms:
    """(phrase, word) each. A phrase is found wherever it stands, a word also by the most of its trigrams,
    which finds its other forms; see bench/NOTES.md.
    """
    words = list(dict.fromkeys(word for _, word in found if word))
    whole = [" ".join(phrase.split()) or word for phrase, word in found]
    grams = [word[at : at + TRIGRAM] for word in words for at in range(len(word) - TRIGRAM + 1)]
    long = _distinct(quoted(text) for text in whole[:MAX_TERMS] if len(text) >= TRIGRAM)
    short = [text for text in dict.fromkeys(whole) if 0 < len(text) < TRIGRAM]
    telling = [text for text in short if len(text) > 1 and _DENSE.fullmatch(text)]
    strings = _distinct([*long, *map(quoted, grams)])[:MAX_TRIGRAMS]
    return Terms(strings, tuple((telling if long else short)[:MAX_TERMS]))


def _distinct(strings: Iterable[str]) -> tuple[str, ...]:
    return tuple(string for string in dict.fromkeys(strings) if string != '""')
