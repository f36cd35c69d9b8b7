"""Which of the ranked passages are answered: those good enough, one of each document, or unlike each other.

Pure. A ranking maps what names passages, seqs or ids, to scores, best first; what comes out keeps its scores.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from index.rows import Vector

K = TypeVar("K", int, str)
G = TypeVar("G", int, str)

_TINY: Final = np.finfo(np.float32).tiny


def reaching(ranking: Mapping[K, float], held: Mapping[K, float], least: float) -> dict[K, float]:
    """Those of ``ranking`` whose score in ``held`` is at least ``least``."""
    return {seq: score for seq, score in ranking.items() if held[seq] >= least}


def best_of_each(ranking: Mapping[K, float], groups: Mapping[K, G]) -> dict[K, float]:
    """The first of each group; what is in no group is left out."""
    first: dict[G, K] = {}
    for seq in ranking:
        if seq in groups:
            first.setdefault(groups[seq], seq)
    return {seq: ranking[seq] for seq in first.values()}


def unlike_each_other(
    ranking: Mapping[K, float], vectors: Mapping[K, Vector], k: int, diversity: float
) -> dict[K, float]:
    """``k`` of those that have a vector (dim,), each next one good and unlike those before it.

    Maximal marginal relevance: the best by (1 - diversity) * score - diversity * (its greatest cosine to what
    was taken), scores scaled from 0 to 1. Carbonell and Goldstein, "The use of MMR, diversity-based reranking
    for reordering documents and producing summaries", SIGIR 1998.
    """
    seqs = [seq for seq in ranking if seq in vectors]
    if not seqs:
        return {}
    relevance = _scaled(np.array([ranking[seq] for seq in seqs], dtype=np.float32)) * (1 - diversity)
    units = _units(np.stack([vectors[seq] for seq in seqs]))
    likeness = np.zeros(len(seqs), dtype=np.float32)
    taken: list[int] = []
    for _ in range(min(k, len(seqs))):
        taken.append(int(np.argmax(relevance - diversity * likeness)))
        # ``vecdot`` and not ``@``, for which BLAS would wake all cores: see ``index.vectors``.
        cosines = np.vecdot(units, units[taken[-1]])
        likeness = cosines if len(taken) == 1 else np.maximum(likeness, cosines)
        relevance[taken[-1]] = -np.inf
    return {seqs[place]: ranking[seqs[place]] for place in taken}


def _scaled(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    span = float(np.ptp(scores))
    scaled: npt.NDArray[np.float32] = (scores - scores.min()) / span if span else np.ones_like(scores)
    return scaled


def _units(vectors: Vector) -> Vector:
    """Vectors (n, dim) of length 1, or 0; in two steps, so that no square leaves float32."""
    scaled = vectors / np.maximum(np.abs(vectors).max(axis=1, keepdims=True), _TINY)
    units: Vector = scaled / np.maximum(np.sqrt(np.vecdot(scaled, scaled))[:, None], _TINY)
    return units
