"""Measures of a ranking, and percentiles. Pure functions.

A ranking is a list of document ids, best first; ``gains`` maps the relevant ids to a gain above 0.
"""

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np


def hit_at(k: int, ranking: Sequence[str], gains: Mapping[str, float]) -> float:
    """1 if a relevant document is among the first ``k``, else 0."""
    return float(any(id in gains for id in ranking[:k]))


def reciprocal_rank_at(k: int, ranking: Sequence[str], gains: Mapping[str, float]) -> float:
    """1 / rank of the first relevant document among the first ``k``, else 0."""
    return next((1.0 / rank for rank, id in enumerate(ranking[:k], 1) if id in gains), 0.0)


def ndcg_at(k: int, ranking: Sequence[str], gains: Mapping[str, float]) -> float:
    """Normalised discounted cumulative gain: the gain itself (not 2**gain - 1), as trec_eval's ndcg_cut.

    Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002.
    """
    reached = discounted([gains.get(id, 0.0) for id in ranking[:k]])
    return reached / discounted(sorted(gains.values(), reverse=True)[:k])


def discounted(gains: Sequence[float]) -> float:
    """The sum of gains, each divided by log2(rank + 1)."""
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def scores_of(ranking: Sequence[str], gains: Mapping[str, float]) -> dict[str, float]:
    """The four measures that are reported for one question."""
    return {
        "hit@1": hit_at(1, ranking, gains),
        "hit@5": hit_at(5, ranking, gains),
        "mrr@10": reciprocal_rank_at(10, ranking, gains),
        "ndcg@10": ndcg_at(10, ranking, gains),
    }


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each measure over the questions; there is at least one."""
    return {name: math.fsum(score[name] for score in scores) / len(scores) for name in scores[0]}


def distinct_documents(documents: Sequence[str], left_out: AbstractSet[str] = frozenset()) -> list[str]:
    """A ranking of passages (their documents' ids) as one of documents, each where its best passage is."""
    return [id for id in dict.fromkeys(documents) if id not in left_out]


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Median and tail of some durations, in milliseconds."""
    values = np.percentile(np.asarray(seconds), [50, 95, 99]) * 1000
    return dict(zip(("p50_ms", "p95_ms", "p99_ms"), (float(value) for value in values), strict=True))
