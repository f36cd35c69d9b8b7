"""Token vectors of queries and passages: which tokens come out, in which order, of which words."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from embedd import late
from embedd.embedder import Embedder, Lane, open_embedder
from embedd.fake import FAKE_MAX_TOKENS, fake_token_vectors
from embedd.specs import parse_spec


@pytest.fixture
async def embedder() -> AsyncIterator[Embedder]:
    async with open_embedder(parse_spec("fake")) as opened:
        yield opened


def vectors_of(embedder: Embedder, text: str) -> np.ndarray:
    """Those of the words of ``text`` alone, as the fake model has them."""
    tokens = embedder.tokenizer.details(text, special=False)
    return fake_token_vectors(np.array([token.id for token in tokens], dtype=np.int32))


def directions(codes: np.ndarray) -> np.ndarray:
    return codes / np.linalg.norm(codes.astype(np.float64), axis=1, keepdims=True)


async def test_a_query_has_its_own_tokens_in_order_each_with_its_word(embedder: Embedder) -> None:
    query = await late.query(embedder, "Which port? The 8080.")
    assert query.words == ("which", "port", None, "the", "8080", None)
    np.testing.assert_allclose(query.vectors, vectors_of(embedder, "Which port? The 8080."), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(query.vectors, axis=1), 1.0, atol=1e-6)


async def test_a_query_has_the_vector_that_the_embedder_gives(embedder: Embedder) -> None:
    query = await late.query(embedder, "which port", prompt="query: ")
    embedded = await embedder.embed(["which port"], prompt="query: ")
    np.testing.assert_array_equal(query.vector, embedded.vectors[0])


async def test_the_prompt_is_read_and_not_compared(embedder: Embedder) -> None:
    query = await late.query(embedder, "which port", prompt="search: ")
    assert query.words == ("which", "port")
    np.testing.assert_allclose(query.vectors, vectors_of(embedder, "which port"), atol=1e-6)
    _, tokens = await late.passages(embedder, ["which port", "a"], prompt="search: ")
    np.testing.assert_allclose(directions(tokens[0]), vectors_of(embedder, "which port"), atol=0.01)
    assert tokens.offsets.tolist() == [0, 2, 3]


async def test_passages_have_the_codes_of_their_own_tokens(embedder: Embedder) -> None:
    texts = ["The service listens.", "on", "port 8080"]
    embedded, tokens = await late.passages(embedder, texts, lane=Lane.BULK)
    assert tokens.values.dtype == np.int8
    for number, text in enumerate(texts):
        np.testing.assert_allclose(directions(tokens[number]), vectors_of(embedder, text), atol=0.01)
    np.testing.assert_array_equal(embedded.vectors, (await embedder.embed(texts)).vectors)


@pytest.mark.parametrize(("truncate", "first"), [("end", 0), ("start", 300 - FAKE_MAX_TOKENS + 2)])
async def test_of_a_query_that_was_cut_the_words_are_those_that_were_read(
    embedder: Embedder, truncate: str, first: int
) -> None:
    words = [f"w{number}" for number in range(300)]
    query = await late.query(embedder, " ".join(words), truncate=truncate)
    assert query.words == tuple(words[first : first + FAKE_MAX_TOKENS - 2])
    kept = " ".join(words[first : first + FAKE_MAX_TOKENS - 2])
    np.testing.assert_allclose(query.vectors, vectors_of(embedder, kept), atol=1e-6)


async def test_of_a_very_long_query_only_a_beginning_is_read_for_its_words(embedder: Embedder) -> None:
    query = await late.query(embedder, "abcdefghijklmno " * 10_000)
    assert 0 < len(query.words) < FAKE_MAX_TOKENS
    assert len(query.words) == len(query.vectors)


async def test_signs_are_of_no_word(embedder: Embedder) -> None:
    assert (await late.query(embedder, "?!")).words == (None, None)
