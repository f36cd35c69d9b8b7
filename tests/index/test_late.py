"""Late interaction: packed token vectors keep their directions, and scores are what a plain oracle says."""

import numpy as np
import pytest

from index.late import max_sim, max_sim_packed, pack, unpack, weigh


def codes(seed: int, tokens: int, dim: int = 64) -> np.ndarray:
    """Token vectors (tokens, dim) as a model gives them: the largest number of each is 127."""
    values = np.random.default_rng(seed).normal(size=(tokens, dim))
    return np.rint(values / np.abs(values).max(axis=1, keepdims=True) * 127).astype(np.int8)


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def joined(*passages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *map(len, passages)]).astype(np.int32)
    return np.concatenate(passages), offsets


def oracle(query: np.ndarray, weights: np.ndarray, passage: np.ndarray) -> float:
    """Token by token: found anywhere, and found within one of the stretches of two blocks of twelve."""
    cosines = query @ unit(passage).T
    starts = range(0, max(len(passage) - 12, 1), 12)
    near = max(float(weights @ cosines[:, start : start + 24].max(axis=1)) for start in starts)
    return (float(weights @ cosines.max(axis=1)) + near) / 2


@pytest.mark.parametrize("lengths", [[1], [11, 12, 13], [24, 25, 100, 3, 36, 37]])
def test_scores_are_those_of_an_oracle(lengths: list[int]) -> None:
    query, weights = unit(codes(0, 7)), np.full(7, 1 / 7, dtype=np.float32)
    passages = [codes(seed, length) for seed, length in enumerate(lengths, start=1)]
    scores = max_sim(query, weights, *joined(*passages))
    expected = [oracle(query, weights, passage) for passage in passages]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_packed_tokens_are_compared_as_what_they_unpack_to() -> None:
    query, weights = unit(codes(0, 7, 66)), np.full(7, 1 / 7, dtype=np.float32)
    passages = [codes(seed, length, 66) for seed, length in enumerate([5, 24, 0, 100], start=1)]
    kept = [pack(passage) for passage in passages]
    expected = max_sim(query, weights, *joined(*(unpack(packed, 66) for packed in kept)))
    np.testing.assert_allclose(max_sim_packed(query, weights, kept), expected, atol=1e-6)
    assert max_sim_packed(query, weights, []).shape == (0,)


def test_a_passage_outside_of_the_tokens_is_refused() -> None:
    query, weights = unit(codes(0, 2)), np.full(2, 0.5, dtype=np.float32)
    for offsets in ([0, 4], [-1, 2], [2, 1]):
        with pytest.raises(ValueError, match="outside"):
            max_sim(query, weights, codes(1, 3), np.array(offsets, dtype=np.int32))


def test_a_passage_that_has_every_token_together_beats_one_that_has_them_apart() -> None:
    query, noise = codes(0, 4), codes(1, 96)
    together, apart = noise.copy(), noise.copy()
    together[10:14], apart[[0, 30, 60, 90]] = query, query
    scores = max_sim(unit(query), np.full(4, 0.25, dtype=np.float32), *joined(together, apart, noise))
    assert scores[0] == pytest.approx(1.0, abs=1e-5)
    assert scores[0] > scores[1] > scores[2]


def test_what_has_no_weight_does_not_count() -> None:
    query, passage = codes(0, 3), codes(1, 20)
    passage[5] = query[1]
    weights = np.array([0, 1, 0], dtype=np.float32)
    assert max_sim(unit(query), weights, *joined(passage))[0] == pytest.approx(1.0, abs=1e-5)


def test_nothing_to_compare_is_the_worst_score() -> None:
    query, weights = unit(codes(0, 2)), np.full(2, 0.5, dtype=np.float32)
    scores = max_sim(query, weights, *joined(codes(1, 3), codes(2, 0), codes(3, 4)))
    assert scores[1] == -1.0
    assert (scores[[0, 2]] > -1.0).all()
    assert max_sim(query[:0], weights[:0], *joined(codes(1, 3))).tolist() == [-1.0]


@pytest.mark.parametrize("dim", [1, 3, 4, 64, 386])
def test_packed_vectors_keep_their_directions(dim: int) -> None:
    vectors = codes(5, 40, dim)
    packed = pack(vectors)
    assert len(packed) == 40 * -(-dim // 4)
    cosines = np.einsum("ij,ij->i", unit(unpack(packed, dim)), unit(vectors))
    assert cosines.min() > 0.85
    assert cosines.mean() > 0.93


def test_no_tokens_take_no_bytes() -> None:
    assert pack(codes(7, 0)) == b""
    assert unpack(b"", 64).shape == (0, 64)


def test_rare_words_weigh_more_and_all_weights_are_one_together() -> None:
    weights = weigh(("the", "port", None), {"the": 0.1, "port": 3.9})
    assert weights.sum() == pytest.approx(1.0)
    assert weights.tolist() == pytest.approx([0.025, 0.975, 0.0])


def test_a_word_of_four_tokens_counts_twice_a_word_of_one() -> None:
    weights = weigh(("a", "b", "b", "b", "b"), {"a": 1.0, "b": 1.0})
    assert weights[1:].sum() == pytest.approx(2 * weights[0])


def test_without_any_known_word_all_tokens_weigh_the_same() -> None:
    assert weigh((None, None), {}).tolist() == [0.5, 0.5]
    assert weigh((), {}).shape == (0,)
