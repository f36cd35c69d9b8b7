"""Words: a user's text becomes an FTS5 query, and FTS5 ranks by BM25.

The query asks for any of the terms, each quoted, so that nothing a user types is FTS5 syntax. An OR query
scores every row that has one of its terms: words that say nothing are dropped unless nothing else is left,
duplicates too, and terms are capped.
"""

import math
import re
from collections.abc import Iterable
from typing import Final

MAX_TERMS: Final = 32
# Of a question longer than this only the beginning is read: its terms are capped anyway.
MAX_CHARACTERS: Final = 20_000
# Words of letters and digits, as the tokenizer unicode61 cuts them.
_TERM: Final = re.compile(r"[^\W_]+")
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


def match_expression(text: str) -> str | None:
    """The FTS5 expression for a user's words, or None if there are none."""
    terms = list(dict.fromkeys(_TERM.findall(text[:MAX_CHARACTERS].casefold())))
    telling = [term for term in terms if term not in _STOP_WORDS]
    return " OR ".join(f'"{term}"' for term in (telling or terms)[:MAX_TERMS]) or None


def plain_words(words: Iterable[str]) -> list[str]:
    """Those of ``words`` that are nothing but letters and digits, each once, as many as a query may have."""
    return [word for word in dict.fromkeys(words) if _TERM.fullmatch(word)][:MAX_TERMS]


def inverse_frequency(passages: int, having: int) -> float:
    """How much a word tells that ``having`` of so many passages have, as in BM25; above 0.

    Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, with the 1 that
    Lucene adds in the logarithm.
    """
    having = min(having, passages)
    return math.log1p((passages - having + 0.5) / (having + 0.5))
