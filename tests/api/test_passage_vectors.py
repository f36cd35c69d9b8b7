"""Texts of passages on their way to the model."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from api.services import passage_vectors
from api.services.passage_vectors import embed_passages
from embedd.embedder import Embedder, Embeddings, open_embedder
from embedd.errors import Overloaded
from embedd.specs import parse_spec
from index.late import unpack


@pytest.fixture
async def embedder() -> AsyncIterator[Embedder]:
    async with open_embedder(parse_spec("fake")) as opened:
        yield opened


@pytest.mark.parametrize("with_tokens", [False, True])
async def test_every_text_has_its_own_vector_whatever_slice_it_is_in(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, with_tokens: bool
) -> None:
    monkeypatch.setattr(passage_vectors, "SLICE_PASSAGES", 3)
    texts = [f"word{n} " * n for n in range(1, 9)]
    made = await embed_passages(embedder, texts, with_tokens=with_tokens)
    expected = await embedder.embed(texts)
    np.testing.assert_array_equal([one.vector for one in made], expected.vectors)
    assert [one.tokens for one in made] == list(expected.tokens)
    lengths = [None if one.token_vectors is None else len(unpack(one.token_vectors, 64)) for one in made]
    assert lengths == (list(range(1, 9)) if with_tokens else [None] * 8)


async def test_no_texts_are_no_vectors(embedder: Embedder) -> None:
    assert await embed_passages(embedder, [], with_tokens=True) == []


async def test_what_was_taken_in_waits_its_turn(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    embed, refusals = Embedder.embed, [Overloaded("full", retry_after_s=0.0)] * 2

    async def refuse_twice(self: Embedder, texts: Sequence[str], **more: Any) -> Embeddings:
        if refusals:
            raise refusals.pop()
        return await embed(self, texts, **more)

    monkeypatch.setattr(Embedder, "embed", refuse_twice)
    assert len(await embed_passages(embedder, ["a", "b"], with_tokens=False)) == 2
    assert refusals == []
