"""Late interaction, the store's half: how well the tokens of a query are found among those of a passage.

A token's vector is kept as two bits for each number: below, between and above plus and minus its root mean
square. Only directions are compared, so nothing else is kept. Against float32 this moves nDCG@10 by less than
.003, with one bit by .004; see bench/NOTES.md. Everything here is pure and runs on one core;
what is long is in late.cpp.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from index import _late

Codes = npt.NDArray[np.int8]
Scores = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]

_BITS: Final = (0, 2, 4, 6)
_TINY: Final = np.finfo(np.float32).tiny


def pack(vectors: Codes) -> bytes:
    """Token vectors (t, dim) as two bits a number."""
    values = vectors.astype(np.float32)
    size = np.sqrt(np.mean(values * values, axis=1, keepdims=True))
    levels = (values >= -size).astype(np.uint8) + (values >= 0) + (values >= size)
    missing = len(_BITS) * _width(values.shape[1]) - values.shape[1]
    quarters = np.split(np.pad(levels, ((0, 0), (0, missing))), len(_BITS), axis=1)
    packed = np.zeros_like(quarters[0])
    for quarter, bits in zip(quarters, _BITS, strict=True):
        packed |= quarter << bits
    return packed.tobytes()


def unpack(packed: bytes, dim: int) -> Codes:
    """Token vectors (t, dim) that have about the directions of those that were packed."""
    rows = np.frombuffer(packed, dtype=np.uint8).reshape(-1, _width(dim))
    levels = np.concatenate([(rows >> bits) & 3 for bits in _BITS], axis=1)[:, :dim]
    return levels.astype(np.int8) * np.int8(2) - np.int8(3)


def is_packed(packed: bytes, dim: int) -> bool:
    """Whether these can be the vectors of whole tokens."""
    return len(packed) % _width(dim) == 0


def weigh(words: Sequence[str | None], idf: Mapping[str, float]) -> Scores:
    """The weights (t,) of tokens, 1 together, by the word that each is of.

    A word of several tokens counts for more than one of a single token, and for less than so many: it
    shares by the square root. What is of no word has no weight, unless nothing has.
    """
    pieces = Counter(words)
    raw = [0.0 if word is None else idf.get(word, 0.0) / pieces[word] ** 0.5 for word in words]
    weights = np.array(raw if any(raw) else [1.0] * len(raw), dtype=np.float32)
    return np.asarray(weights / np.maximum(weights.sum(), _TINY), dtype=np.float32)


def max_sim(query: Vectors, weights: Scores, values: Codes, offsets: npt.NDArray[np.int32]) -> Scores:
    """How well each of n passages answers a query, from -1 to 1 (n,).

    ``query`` (t, dim) has vectors of length 1, ``weights`` (t,) are 1 together; passage i has the rows
    ``offsets[i]:offsets[i + 1]`` of ``values`` (all tokens, dim), of any length. A passage without tokens
    gets -1.

    Half of a score is how well each token is found anywhere, the other half how well all of them are found
    near each other, which tells the passage about a question from one that has its words here and there.
    """
    scores = np.empty(len(offsets) - 1, dtype=np.float32)
    _late.score_codes(*_telling(query, weights), np.ascontiguousarray(values), offsets, scores)
    return scores


def max_sim_packed(query: Vectors, weights: Scores, passages: Sequence[bytes]) -> Scores:
    """The same of passages whose tokens are packed."""
    width = _width(query.shape[1])
    offsets = np.cumsum([0, *(len(packed) // width for packed in passages)], dtype=np.int32)
    scores = np.empty(len(passages), dtype=np.float32)
    _late.score_packed(*_telling(query, weights), b"".join(passages), offsets, scores)
    return scores


def _telling(query: Vectors, weights: Scores) -> tuple[Vectors, Scores]:
    """The tokens that have a weight."""
    telling = weights > 0
    return query[telling], weights[telling]


def _width(dim: int) -> int:
    """The bytes of one token's vector."""
    return -(-dim // len(_BITS))
