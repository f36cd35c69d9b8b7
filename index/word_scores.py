"""What a phrase adds to the score of each point that has it, kept for those who ask for it again.

BM25 of a query is the sum over its phrases, and to give it FTS5 scores every row that has one of them: common
words cost tens of milliseconds at 100,000 points, each time. Here a phrase is scored once, and a query adds
up arrays. What was written since is asked of FTS5 with every query, which is little, and phrases are scored
anew once it is more, since how much a word tells has changed by then too.

Invariant: what is kept of a phrase is complete up to the seq ``until``. Rows that are gone are left out by
whoever asks, who knows what there is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from index import bm25, full_text
from index.bm25 import Lengths, Sums
from index.full_text import Counts
from index.lexical import WORD_WEIGHTS, unquoted
from index.readers import Readers
from index.rows import Tokenizer
from index.together import together
from index.vectors import Keys, TableView, VectorTable
from index.word_cutter import Cutter
from index.writer import Change

LEAST_ROWS: Final = 10_000
"""In a smaller collection FTS5 is as fast."""
MAX_BYTES: Final = 64 * 2**20
# Phrases are scored anew after so many writes, or as large a part of all rows.
_FEW_WRITES: Final = 500
_WRITTEN_PART: Final = 50
# Of those that score best, so many times as many as are wanted are looked at first: some may be gone.
_MARGIN: Final = 2


@dataclass(frozen=True, slots=True)
class Scored:
    """Seqs (n,) ascending of the points that have a phrase, and what it adds to their scores (n,)."""

    seqs: Keys
    sums: Sums

    @property
    def size_bytes(self) -> int:
        return self.seqs.nbytes + self.sums.nbytes

    def up_to(self, seq: int) -> "Scored":
        end = int(np.searchsorted(self.seqs, seq, side="right"))
        return self if end == len(self.seqs) else Scored(self.seqs[:end], self.sums[:end])


@dataclass(frozen=True, slots=True)
class _Kept:
    """A phrase, scored when ``until`` was the newest row and so many rows had been written or removed."""

    scored: Scored
    until: int
    writes: int


class WordScores:
    """Of the collection whose rows are in ``table``; empty when it is made."""

    def __init__(self, readers: Readers, table: VectorTable, tokenizer: Tokenizer) -> None:
        self._readers = readers
        self._table = table
        self._cutter = Cutter(tokenizer)
        self._lengths = Lengths()
        self._kept: dict[str, _Kept] = {}  # the last used last
        self._writes = 0
        self._rewordings = 0
        self._kept_bytes = 0

    @property
    def memory_bytes(self) -> int:
        return self._kept_bytes + self._lengths.memory_bytes

    def close(self) -> None:
        """Let go of what cuts words."""
        self._cutter.close()

    def follow(self, change: Change[Any]) -> None:
        """Do what a commit did."""
        for rows in (change.removed, None if change.added is None else change.added.seqs):
            self._writes += 0 if rows is None else len(rows)
        if change.reworded is not None:
            self._rewordings += 1
            self._lengths.change(change.reworded)
            self._kept.clear()
            self._kept_bytes = 0

    async def best(self, phrases: Sequence[str], among: TableView | None, limit: int) -> dict[int, float]:
        """The BM25 of the ``limit`` points that have any of the FTS5 strings ``phrases`` (there is one) and
        score best, best first; ties in order of seq. Only points ``among`` these count, if they are given.

        Raises:
            CollectionNotFound, StorageFailed: as reading does.
        """
        if len(self._table.view()) < LEAST_ROWS:
            seqs = None if among is None else among.seqs()
            return dict(await full_text.best(self._readers, phrases, WORD_WEIGHTS, limit, seqs))
        newest = self._table.last_seq
        kept = self._known(phrases)
        kept |= await self._score([phrase for phrase in phrases if phrase not in kept], newest)
        until = min(one.until for one in kept.values())
        parts = [one.scored.up_to(until) for one in kept.values()]
        if until < newest:
            parts.append(await self._found(phrases, behind=until))
        return _first(_added_up(parts), self._table.view() if among is None else among, limit)

    def _known(self, phrases: Iterable[str]) -> dict[str, _Kept]:
        """What is kept of these phrases and not worn by what was written since."""
        least = self._writes - max(_FEW_WRITES, len(self._table.view()) // _WRITTEN_PART)
        found = {phrase: self._kept.pop(phrase) for phrase in phrases if phrase in self._kept}
        self._kept.update(found)
        return {phrase: one for phrase, one in found.items() if one.writes >= least}

    async def _score(self, phrases: Sequence[str], until: int) -> dict[str, _Kept]:
        """Score the phrases, and keep that unless titles were changed meanwhile."""
        if not phrases:
            return {}
        writes, rewordings = self._writes, self._rewordings
        await self._lengths.read(self._readers)
        counts = await full_text.counts(self._readers)
        found = await together(self._scored(phrase, until, counts) for phrase in phrases)
        scored = [_Kept(one, until, writes) for one in found]
        fresh = dict(zip(phrases, scored, strict=True))
        if rewordings == self._rewordings:
            for phrase, one in fresh.items():
                self._keep(phrase, one)
        return fresh

    def _keep(self, phrase: str, one: _Kept) -> None:
        self._forget(phrase)  # another query may have been as quick
        self._kept[phrase] = one
        self._kept_bytes += one.scored.size_bytes
        while self._kept_bytes > MAX_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, phrase: str) -> None:
        if (one := self._kept.pop(phrase, None)) is not None:
            self._kept_bytes -= one.scored.size_bytes

    async def _scored(self, phrase: str, until: int, counts: Counts) -> Scored:
        """What a phrase adds, by itself; FTS5 knows what to do with more than one word."""
        token = self._token_of(phrase)
        if token is None:
            return (await self._found([phrase])).up_to(until)
        places = await full_text.places(self._readers, token)
        places = places[: np.searchsorted(places, 2 * until + 1, side="right")]
        return Scored(*bm25.score(places, self._lengths, counts))

    def _token_of(self, phrase: str) -> str | None:
        """The one token of an FTS5 string; None if it has more or none, or is the beginning of one."""
        if phrase.endswith("*"):
            return None
        [tokens] = self._cutter.cut([("", unquoted(phrase))])
        return tokens[0][1].decode() if len(tokens) == 1 else None

    async def _found(self, phrases: Sequence[str], behind: int = 0) -> Scored:
        """All points behind a seq that have one of the phrases."""
        rows = await full_text.scored(self._readers, phrases, WORD_WEIGHTS, behind)
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=2 * len(rows)).reshape(-1, 2)
        return Scored(flat[:, 0].astype(np.int64), flat[:, 1].copy())


def _added_up(parts: Iterable[Scored]) -> Scored:
    """Every seq once, with all that is added to its score."""
    some = [part for part in parts if len(part.seqs)]
    if len(some) <= 1:
        return some[0] if some else Scored(np.empty(0, dtype=np.int64), np.empty(0))
    seqs = np.concatenate([part.seqs for part in some])
    order = np.argsort(seqs, kind="stable")
    seqs, sums = seqs[order], np.concatenate([part.sums for part in some])[order]
    starts = np.flatnonzero(np.concatenate([[True], seqs[1:] != seqs[:-1]]))
    return Scored(seqs[starts], np.add.reduceat(sums, starts))


def _first(scored: Scored, among: TableView, limit: int) -> dict[int, float]:
    """The ``limit`` best that count ``among`` these."""
    wanted = _MARGIN * limit
    while True:
        most = min(wanted, len(scored.seqs))
        places = _best_places(scored.sums, most)
        seqs = scored.seqs[places]
        counting = among.holds(seqs)
        if np.count_nonzero(counting) >= limit or most == len(scored.seqs):
            chosen = places[counting][:limit]
            return dict(zip(scored.seqs[chosen].tolist(), scored.sums[chosen].tolist(), strict=True))
        wanted *= 4


def _best_places(sums: Sums, count: int) -> npt.NDArray[np.intp]:
    """Where the ``count`` highest are and all that tie with the last of them, highest first; equal ones in
    their order.
    """
    places = np.arange(len(sums))
    if 0 < count < len(sums):
        places = np.flatnonzero(sums >= np.partition(sums, len(sums) - count)[len(sums) - count])
    return places[np.argsort(-sums[places], kind="stable")]
