"""Reciprocal rank fusion: several rankings become one, by ranks alone.

Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods", SIGIR 2009; the constant 60 is theirs.
"""

from collections.abc import Sequence
from typing import Final

RANK_CONSTANT: Final = 60


def fuse(rankings: Sequence[Sequence[int]]) -> dict[int, float]:
    """The fused score of everything that any ranking (best first) has, best first; ties in order of id."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (RANK_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda entry: (-entry[1], entry[0])))
