"""The weightless model behind a worker's interface: vectors, token vectors, scores of pairs."""

import numpy as np

from embedd.fake import FakeTokenizer, fake_vectors
from embedd.worker.backend import Batch
from embedd.worker.fake_backend import FakeBackend

TEXTS = ["one red fox", "red foxes in the snow"]


def ids_of(*texts: str) -> list[np.ndarray]:
    return [one.ids for one in FakeTokenizer().encode(texts, 256, "end")]


def test_each_token_has_a_unit_vector_of_its_own() -> None:
    ids = ids_of(*TEXTS)
    output = FakeBackend().run(Batch(ids, np.array([-1, -1]), token_rows=[1, 0]))
    np.testing.assert_array_equal(output.rows, fake_vectors(ids))
    assert [tokens.shape for tokens in output.tokens] == [(7, 64), (5, 64)]
    np.testing.assert_allclose(np.linalg.norm(output.tokens[0], axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(output.tokens[0][1], output.tokens[1][2], "both are red")


def test_quantised_token_vectors_keep_their_directions() -> None:
    exact = FakeBackend().run(Batch(ids_of(*TEXTS), np.array([-1, -1]), [0])).tokens[0]
    codes = FakeBackend().run(Batch(ids_of(*TEXTS), np.array([-1, -1]), [0], "int8")).tokens[0]
    assert codes.dtype == np.int8
    cosines = (codes * exact).sum(axis=1) / np.linalg.norm(codes.astype(np.float32), axis=1)
    assert cosines.min() > 0.999


def test_a_reranker_scores_a_pair_by_the_words_both_have() -> None:
    query, *others = ids_of("red fox", "a red fox", "a red bear", "snow")
    pairs = [np.concatenate([query, other[1:]]) for other in others]
    backend = FakeBackend("reranking")
    assert backend.load()["dim"] == 1
    output = backend.run(Batch(pairs, np.full(3, len(query))))
    np.testing.assert_array_equal(output.rows, [[4.0], [0.0], [-4.0]])
