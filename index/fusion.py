"""Fusion: what was found by vector and what was found by words become one ranking.

*Relative score*: each half's scores are scaled to 0..1 and averaged, so a passage that is far better than
all others stays far ahead. Ranks say less than the scores behind them: nDCG@10 is better by .004 to .04 on
three collections; see bench/NOTES.md.

*Reciprocal rank* (RRF) goes by ranks alone: Cormack, Clarke and Buettcher, "Reciprocal rank fusion
outperforms Condorcet and individual rank learning methods", SIGIR 2009; the constant 60 is theirs.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from index.rows import Fusion

# What names a passage: its seq, or its id.
K = TypeVar("K", int, str)

RANK_CONSTANT: Final = 60


def fuse(
    dense: Mapping[K, float], lexical: Mapping[K, float], found_by_vector: Mapping[K, float], how: Fusion
) -> dict[K, float]:
    """The fused score of all that either half found, best first; ties in order of their names.

    ``dense`` has the score of each of them, ``lexical`` the BM25 of those that were found by words, best
    first, and ``found_by_vector`` those that were found so, best first.
    """
    if how.method == "rrf":
        halves = _reciprocal_ranks(found_by_vector), _reciprocal_ranks(lexical)
    else:
        halves = _scaled(dense), _shares(lexical)
    weights = how.dense_weight, 1 - how.dense_weight
    scores = {
        seq: sum(weight * half.get(seq, 0.0) for weight, half in zip(weights, halves, strict=True))
        for seq in dense
    }
    return dict(sorted(scores.items(), key=lambda entry: (-entry[1], entry[0])))


def _scaled(scores: Mapping[K, float]) -> dict[K, float]:
    """From 0 for the worst to 1 for the best; all are best if they are equal."""
    worst, best = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    span = best - worst
    return {seq: (score - worst) / span if span else 1.0 for seq, score in scores.items()}


def _shares(scores: Mapping[K, float]) -> dict[K, float]:
    """Of the best BM25, in whose scale 0 means what it means everywhere: none of the words."""
    best = max(scores.values(), default=0.0)
    return {seq: score / best if best > 0 else 0.0 for seq, score in scores.items()}


def _reciprocal_ranks(ranking: Mapping[K, float]) -> dict[K, float]:
    return {seq: 1.0 / (RANK_CONSTANT + rank) for rank, seq in enumerate(ranking, start=1)}
