"""Models at servers of others: what is asked of them, in their own shapes, and what comes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from fake_models import expected
from model_servers import MAX_TOKENS, ModelServer, open_infinity, open_tei
from remote_models import open_elsewhere

from embedd.errors import InvalidInput, ModelLoadError, NoTokenVectors
from embedd.fake import FakeTokenizer

LONG = " ".join(f"w{n}" for n in range(200))


@asynccontextmanager
async def opened(dialect: str, **options: Any) -> AsyncIterator[ModelServer]:
    opening = open_tei if dialect == "tei" else open_infinity
    async with opening(**options) as server:
        yield server


async def test_tei_is_found_by_its_info_and_gives_what_the_model_gives() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        card = embedder.card
        assert (card.dim, card.max_tokens, card.pooling, card.revision) == (64, MAX_TOKENS, "mean", "abc123")
        assert card.normalized
        assert len(card.sha256) == 64
        assert not card.gives_tokens
        assert (embedder.dtype, embedder.status.state) == ("float16", "ready")
        texts = [f"some words {n}" for n in range(20)]
        embedded = await embedder.embed(texts)
        np.testing.assert_allclose(embedded.vectors, expected(texts), rtol=1e-6)
        asked = server.of("/embed")
        assert sorted(text for body in asked for text in body["inputs"]) == sorted(texts)
        assert all(len(body["inputs"]) <= server.most and not body["truncate"] for body in asked)


async def test_tei_may_spell_what_its_model_is_for_as_it_likes() -> None:
    async with open_tei(spelled="Embedding") as server, open_elsewhere(server.url, patience_s=9) as embedder:
        assert embedder.card.pooling == "mean"


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("given", ["", "/v1"])
async def test_openai_is_found_with_and_without_a_version(prefix: str, given: str) -> None:
    if given and not prefix:
        return
    async with (
        open_infinity(prefix=prefix) as server,
        open_elsewhere(f"org/model@{server.url}{given}#max_tokens={MAX_TOKENS}") as embedder,
    ):
        embedded = await embedder.embed(["one text", "another one"])
        np.testing.assert_allclose(embedded.vectors, expected(["one text", "another one"]), rtol=1e-6)
        assert server.of(f"{prefix}/embeddings")[0]["model"] == "org/model"


async def test_a_text_that_is_too_long_is_cut_by_the_servers_own_tokens_and_that_is_told() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        embedded = await embedder.embed([LONG, "short"])
        (cut,) = embedded.truncated
        assert (cut.index, cut.tokens, cut.kept, cut.exact) == (0, 202, MAX_TOKENS, True)
        assert embedded.tokens[0] == MAX_TOKENS
        np.testing.assert_allclose(embedded.vectors[:1], expected([" ".join(LONG.split()[:62])]), rtol=1e-6)
        end = await embedder.embed([LONG], truncate="start")
        np.testing.assert_allclose(end.vectors, expected([" ".join(LONG.split()[-62:])]), rtol=1e-6)
        with pytest.raises(InvalidInput, match=r"input 1 has 202 tokens, the model takes 64"):
            await embedder.embed(["short", LONG], truncate="none")


async def test_texts_that_might_be_too_long_are_counted_together() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        texts = [
            f"incomprehensibilities {number} counterrevolutionaries electroencephalography"
            for number in range(24)
        ]
        embedded = await embedder.embed([*texts, "surely fits"])
        assert (embedded.truncated, embedded.tokens[:3]) == ((), (6, 6, 6))
        asked = server.of("/tokenize")
        assert sum(len(body["inputs"]) for body in asked) == 24
        assert len(asked) == 3


async def test_without_a_tokenizer_what_may_be_too_long_is_never_sent_whole() -> None:
    async with (
        open_infinity() as server,
        open_elsewhere(f"{server.url}#max_tokens={MAX_TOKENS}") as embedder,
    ):
        embedded = await embedder.embed([LONG, "é" * 100, "fits"])
        assert [cut.index for cut in embedded.truncated] == [0, 1]
        sent = [text for body in server.of("/embeddings") for text in body["input"]]
        assert all(len(text.encode()) <= MAX_TOKENS - 2 for text in sent)
        with pytest.raises(InvalidInput, match="name no tokenizer"):
            await embedder.embed([[1, 2, 3]])


async def test_a_named_tokenizer_counts_exactly() -> None:
    notes = "max_tokens=64&tokenizer=all-MiniLM-L6-v2"
    async with open_infinity() as server, open_elsewhere(f"{server.url}#{notes}") as embedder:
        text = "Harbours are places where ships may shelter. " * 6
        assert len(text.encode()) > 256
        fitting = await embedder.embed([text])
        assert (fitting.truncated, fitting.tokens) == ((), (56,))
        (cut,) = (await embedder.embed([text * 3])).truncated
        assert (cut.tokens, cut.kept) == (164, 64)
        await embedder.embed([[101, 2023, 2003, 102]])
        assert server.of("/embeddings")[-1]["input"] == ["this is"]


async def test_pairs_are_scored_by_query_and_cut_like_everywhere() -> None:
    async with (
        open_tei(kind="reranking") as server,
        open_elsewhere(server.url, kind="reranking") as reranker,
    ):
        scored = await reranker.rerank("red fox", ["a red fox", "a hen", LONG])
        fake = server.scores("red fox", ["a red fox", "a hen", " ".join(LONG.split()[:50])])
        np.testing.assert_allclose(scored.raw, fake, rtol=1e-5)
        assert scored.scores[0] > scored.scores[1]
        assert 0 < min(scored.scores) < max(scored.scores) < 1
        (cut,) = scored.truncated
        assert (cut.index, cut.kept) == (2, MAX_TOKENS)


async def test_cohere_like_reranking_has_its_scores_as_they_are() -> None:
    async with (
        open_infinity(kind="reranking") as server,
        open_elsewhere(f"{server.url}#max_tokens=64", kind="reranking") as reranker,
    ):
        scored = await reranker.rerank("red fox", ["a red fox", "a hen"])
        np.testing.assert_allclose(scored.scores, server.scores("red fox", ["a red fox", "a hen"]))
        assert server.of("/rerank")[0]["top_n"] == 2


async def test_prompts_are_the_settings_and_go_in_front_here() -> None:
    notes = "query=query%3A%20&document=passage%3A%20"
    async with open_tei() as server, open_elsewhere(f"{server.url}#{notes}") as embedder:
        assert embedder.card.prompts == {"query": "query: ", "document": "passage: "}
        await embedder.embed(["x"], prompt=embedder.card.prompts["query"])
        assert server.of("/embed")[-1]["inputs"] == ["query: x"]


async def test_keys_go_to_the_server_and_into_no_message() -> None:
    async with open_tei(key="s3cret") as server:
        async with open_elsewhere(server.url, key="s3cret") as embedder:
            await embedder.embed(["x"])
        with pytest.raises(AssertionError, match="does not accept this service's key") as refusal:
            async with open_elsewhere(server.url, key="wr0ng", patience_s=0.3):
                pass
        assert "wr0ng" not in str(refusal.value)


async def test_equal_texts_are_asked_for_once_and_remembered() -> None:
    async with open_tei() as server, open_elsewhere(server.url, cached=True) as embedder:
        first = await embedder.embed(["same", "same", "other"])
        again = await embedder.embed(["other", "same"])
        assert again.cached == 2
        np.testing.assert_array_equal(first.vectors[[2, 0]], again.vectors)
        assert sum(len(body["inputs"]) for body in server.of("/embed")) == 2


async def test_texts_of_equal_length_are_told_apart() -> None:
    async with open_tei() as server, open_elsewhere(server.url, cached=True) as embedder:
        one, other = (await embedder.embed(["fox", "hen"])).vectors
        assert not np.allclose(one, other)
        np.testing.assert_allclose((await embedder.embed(["hen"])).vectors[0], other)


async def test_vectors_of_tokens_are_not_to_be_had() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        with pytest.raises(NoTokenVectors, match="no vectors of single tokens"):
            await embedder.embed(["x"], token_dtype="int8")


async def test_tokens_are_the_servers() -> None:
    async with open_tei() as server, open_elsewhere(server.url) as embedder:
        text = "Zürich liegt am See 🙂 x"
        tokenizer = embedder.tokenizer
        assert not tokenizer.here
        told = await in_thread(lambda: tokenizer.details(text, special=True))
        assert told == FakeTokenizer().details(text, special=True)
        spans = await in_thread(lambda: tokenizer.spans(text))
        np.testing.assert_array_equal(spans, FakeTokenizer().spans(text))
        assert await in_thread(lambda: tokenizer.count([text, ""])) == [6, 0]
        assert await in_thread(lambda: tokenizer.decode([5, 6])) == "decoded words"


async def in_thread(work: Any) -> Any:
    return await asyncio.to_thread(work)


@pytest.mark.parametrize(
    ("dialect", "options", "text", "message"),
    [
        ("tei", {"kind": "reranking"}, "{url}", "for reranker, not for embedding"),
        ("tei", {}, "another@{url}", "has 'org/model', not 'another'"),
        ("infinity", {}, "another@{url}#max_tokens=9", r"no model 'another'.*\('org/model'\)"),
        ("infinity", {}, "{url}", "do not say how many tokens it reads: say #max_tokens="),
        ("infinity", {}, "{url}#max_tokens=9", "would read 9 tokens"),
        ("infinity", {}, "{url}#max_tokens=64&tokenizer=nowhere", "no model 'nowhere'"),
    ],
)
async def test_what_cannot_be_what_was_asked_for_is_not_opened(
    dialect: str, options: dict[str, Any], text: str, message: str
) -> None:
    async with opened(dialect, **options) as server:
        with pytest.raises(ModelLoadError, match=message):
            async with open_elsewhere(text.format(url=server.url)):
                pass


async def test_the_pin_of_a_collection_follows_the_model_and_its_revision() -> None:
    sums = []
    for options, notes in [({}, ""), ({}, ""), ({"model": "b"}, ""), ({}, "#revision=2")]:
        async with open_tei(**options) as server, open_elsewhere(f"{server.url}{notes}") as embedder:
            sums.append(embedder.card.sha256)
    assert sums[0] == sums[1]
    assert len(set(sums)) == 3
