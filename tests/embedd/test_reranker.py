"""The reranker over real worker processes: of the fake model, and of a small cross-encoder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import MAX_TOKENS, build_cross_encoder

from embedd.cache import CacheLimits, open_cache
from embedd.engine import Truncated
from embedd.errors import DeadlineExceeded, InvalidInput, ModelLoadError, NotFinite
from embedd.fake import FakeTokenizer, fake_score
from embedd.lanes import Lane
from embedd.reranker import Reranker, open_reranker
from embedd.specs import parse_spec

TEXTS = ["blue sea", "a red fox in the snow", "the fox"]


@asynccontextmanager
async def open_fake(faults: Path, **more: Any) -> AsyncIterator[Reranker]:
    spec = parse_spec("fake-reranker")
    async with open_reranker(spec, worker_args=["--faults", str(faults)], **more) as reranker:
        yield reranker


def expected(query: str, texts: list[str]) -> np.ndarray:
    pairs = FakeTokenizer().encode_pairs(query, texts, 256, "end")
    return np.array([fake_score(pair.ids, pair.second) for pair in pairs], dtype=np.float32)


async def test_every_text_has_its_score_in_order(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as reranker:
        answer = await reranker.rerank("red fox", TEXTS)
        assert (reranker.device, reranker.status.state, len(reranker.worker_pids)) == ("cpu", "ready", 1)
        assert reranker.waiting_tokens(Lane.INTERACTIVE) == 0
    np.testing.assert_array_equal(answer.raw, expected("red fox", TEXTS))
    np.testing.assert_allclose(answer.scores, 1 / (1 + np.exp(-answer.raw)), rtol=1e-6)
    assert answer.scores.dtype == np.float32
    assert np.argsort(-answer.scores).tolist() == [1, 2, 0]
    assert answer.tokens == (7, 11, 7)
    assert answer.times.forward_s > 0


async def test_no_texts_are_no_scores(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as reranker:
        assert (await reranker.rerank("red fox", [])).scores.shape == (0,)


async def test_many_texts_are_tokenised_in_slices_and_scored_in_order(tmp_path: Path) -> None:
    texts = [f"fox number {n} " + "in the snow " * (n % 30) for n in range(200)]
    async with open_fake(tmp_path) as reranker:
        answer = await reranker.rerank("which fox number 7", texts, lane=Lane.BULK)
        np.testing.assert_array_equal(answer.raw, expected("which fox number 7", texts))
        with pytest.raises(InvalidInput, match="input 199 has"):
            await reranker.rerank("fox", [*texts[:199], "word " * 300], truncate="none")


@pytest.mark.parametrize("blank", ["", " \n"])
async def test_an_empty_query_or_text_refuses_the_request(tmp_path: Path, blank: str) -> None:
    async with open_fake(tmp_path) as reranker:
        with pytest.raises(InvalidInput, match="the query is empty"):
            await reranker.rerank(blank, ["text"])
        with pytest.raises(InvalidInput, match="input 1 is empty"):
            await reranker.rerank("query", ["text", blank])


async def test_half_a_surrogate_pair_is_named(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as reranker:
        with pytest.raises(InvalidInput, match="the query is no valid Unicode"):
            await reranker.rerank("\ud800", ["text"])
        with pytest.raises(InvalidInput, match="input 1 is no valid Unicode"):
            await reranker.rerank("query", ["text", "\ud800"])


async def test_a_cut_pair_is_reported_and_refused_if_it_may_not_be_cut(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as reranker:
        answer = await reranker.rerank("red fox", ["short", "fox " * 300])
        assert answer.truncated == (Truncated(index=1, tokens=305, kept=256),)
        with pytest.raises(InvalidInput, match="input 1 has 305 tokens, the model takes 256"):
            await reranker.rerank("red fox", ["short", "fox " * 300], truncate="none")
        with pytest.raises(InvalidInput, match="input 0 has 304 tokens"):
            await reranker.rerank("fox " * 300, ["short"], truncate="none")


async def test_a_query_of_any_length_leaves_room_for_text(tmp_path: Path) -> None:
    async with open_fake(tmp_path) as reranker:
        near, far = (await reranker.rerank("fox " * 1000, ["fox " * 200, "sea " * 200])).raw
    assert near > far


async def test_equal_pairs_are_scored_once_and_remembered(tmp_path: Path) -> None:
    async with open_cache(CacheLimits()) as cache, open_fake(tmp_path, cache=cache) as reranker:
        first = await reranker.rerank("red fox", ["snow", "snow"])
        second = await reranker.rerank("red fox", ["sea", "snow"])
        assert (await reranker.rerank("snow", ["red fox"])).cached == 0
    assert (first.cached, second.cached) == (0, 1)
    assert second.raw[1] == first.raw[0]
    assert (tmp_path / "batches").read_text().split()[:2] == ["6", "6"]


async def test_a_pair_without_a_finite_score_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad").touch()
    async with open_fake(tmp_path) as reranker:
        with pytest.raises(NotFinite, match="input 1"):
            await reranker.rerank("red fox", ["a b c", "x"])


async def test_a_deadline_ends_the_wait(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with open_fake(tmp_path) as reranker:
        await reranker.wait_ready()
        with pytest.raises(DeadlineExceeded, match="1 inputs were not answered"):
            await reranker.rerank("red fox", ["snow"], deadline_s=0.05)
        (tmp_path / "hold").unlink()


async def test_an_embedding_model_is_no_reranker() -> None:
    with pytest.raises(ModelLoadError, match="'fake' is for embedding, not for reranking"):
        async with open_reranker(parse_spec("fake")):
            pytest.fail("it started")


QUERY = "what fox"
PASSAGES = ["the red fox ran", "a river", "snow and snow over the river " * 10]


@pytest.mark.parametrize(("activation", "family"), [("Sigmoid", "bert"), ("Identity", "xlm-roberta")])
async def test_scores_are_those_of_sentence_transformers(
    tmp_path: Path, activation: str, family: str
) -> None:
    from sentence_transformers import CrossEncoder  # noqa: PLC0415 - seconds that the other tests need not wait

    folder = build_cross_encoder(tmp_path, family=family)
    model = CrossEncoder(str(folder), device="cpu", prompts={"ask": "the "}, default_prompt_name="ask")
    if activation == "Identity":
        model.activation_fn = __import__("torch").nn.Identity()
    saved = tmp_path / "saved"
    await asyncio.to_thread(model.save_pretrained, str(saved))
    async with open_reranker(parse_spec(str(saved), dtype="float32")) as reranker:
        answer = await reranker.rerank(QUERY, PASSAGES)
    assert answer.truncated == (Truncated(2, 66, MAX_TOKENS),)
    reference = model.predict([(QUERY, text) for text in PASSAGES])
    np.testing.assert_allclose(answer.scores, reference, atol=1e-5)
