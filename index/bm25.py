"""BM25 of one word, from where FTS5 says that it stands.

FTS5 gives all places of a word as cheaply as it counts them; to score a row of its own it looks up one thing
after the other, which takes seven times as long. So how long rows are is read once, and the formula is
computed here: the one of FTS5 with its constants, so that both can be added up.

S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009;
https://www.sqlite.org/fts5.html#the_bm25_function
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from index import full_text
from index.full_text import Counts
from index.lexical import WORD_WEIGHTS
from index.readers import Readers
from index.vectors import Keys

Sums = npt.NDArray[np.float64]

K1: Final = 1.2
B: Final = 0.75
# Of a word that is in more than half of all rows.
_LEAST_IDF: Final = 1e-6


class Lengths:
    """How many words each row has, as far as that was read."""

    def __init__(self) -> None:
        self._seqs = np.empty(0, dtype=np.int64)
        self._words = np.empty(0, dtype=np.int64)
        self._changed: set[int] = set()

    @property
    def memory_bytes(self) -> int:
        return self._seqs.nbytes + self._words.nbytes

    def change(self, seqs: Keys) -> None:
        """These rows have other words now."""
        self._changed.update(seqs.tolist())

    @property
    def _last(self) -> int:
        return int(self._seqs[-1]) if len(self._seqs) else 0

    async def read(self, readers: Readers) -> None:
        """Know all rows that there are."""
        changed, self._changed = self._changed, set()
        if changed:
            seqs, words = await full_text.lengths(readers, 0, sorted(changed))
            known = seqs <= self._last
            self._words[np.searchsorted(self._seqs, seqs[known])] = words[known]
        seqs, words = await full_text.lengths(readers, self._last)
        new = seqs > self._last  # another search may have read them meanwhile
        self._seqs = np.concatenate([self._seqs, seqs[new]])
        self._words = np.concatenate([self._words, words[new]])

    def of(self, seqs: Keys) -> Sums:
        """Those of rows that are known."""
        return self._words[np.searchsorted(self._seqs, seqs)].astype(np.float64)


def idf(rows: int, having: int) -> float:
    """How much a word tells that ``having`` of so many rows have."""
    share = (rows - having + 0.5) / (having + 0.5)
    return max(math.log(share), _LEAST_IDF) if share > 0 else _LEAST_IDF


def score(places: Keys, lengths: Lengths, counts: Counts) -> tuple[Keys, Sums]:
    """The seqs that have a word, ascending, and what it adds to the score of each; ``places`` are
    ``full_text.places`` of it, up to the last row that ``lengths`` know.
    """
    seqs, titles = places >> 1, places & 1
    starts = np.flatnonzero(np.concatenate([[True], seqs[1:] != seqs[:-1]])) if len(seqs) else seqs
    if not len(starts):
        return seqs, np.empty(0)
    often = np.add.reduceat(np.where(titles, *WORD_WEIGHTS), starts)
    seqs = seqs[starts]
    weight = idf(counts.rows, len(seqs)) * (K1 + 1)
    return seqs, weight * often / (often + K1 * (1 - B + B * lengths.of(seqs) / counts.mean_words))
