"""embedd.v1.Embedder with the generated stubs, beside HTTP's answers to the same."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from asking import Ask
from google.rpc.error_details_pb2 import BadRequest
from grpc import StatusCode
from grpc_calls import Caller, refused, rows_of

from api.grpc.v1.embedder_pb2 import (
    EmbedRequest,
    EmbedStreamRequest,
    EmbedStreamResponse,
    RerankRequest,
    TokenizeRequest,
)

TEXTS = ["The moon pulls the sea.", "Spring tides come at new and full moon."]


async def test_vectors_are_those_that_http_gives(caller: Caller, ask: Ask) -> None:
    for options in ({}, {"dimensions": 16}, {"input_type": "query"}):
        answer = await caller.embedder.Embed(EmbedRequest(texts=TEXTS, **options))
        expected = await ask("POST", "/v1/embeddings", {"input": TEXTS, **options})
        rows = [one["embedding"] for one in expected["data"]]
        np.testing.assert_array_equal(rows_of(answer), np.array(rows, dtype=np.float32))
        assert (answer.model, answer.tokens) == (expected["model"], expected["usage"]["prompt_tokens"])


async def test_texts_that_are_cut_are_told(caller: Caller) -> None:
    long = "tide " * 1000
    answer = await caller.embedder.Embed(EmbedRequest(texts=["short", long]))
    assert [(one.index, one.kept) for one in answer.truncated] == [(1, 256)]
    refusal = await refused(
        caller.embedder.Embed(EmbedRequest(texts=["short", long], truncate="TRUNCATE_NONE"))
    )
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_INPUT")


async def test_what_is_wrong_with_a_request_names_its_field(caller: Caller) -> None:
    wrong = {
        "texts": EmbedRequest(),
        "dimensions": EmbedRequest(texts=["x"], dimensions=65),
        "prompt_name": EmbedRequest(texts=["x"], prompt_name="none-such"),
        "truncate": EmbedRequest(texts=["x"], truncate=7),  # type: ignore[arg-type]
    }
    for field, request in wrong.items():
        refusal = await refused(caller.embedder.Embed(request))
        assert refusal.code is StatusCode.INVALID_ARGUMENT, field
        assert [one.field for one in refusal.details[BadRequest].field_violations] == [field]
    refusal = await refused(caller.embedder.Embed(EmbedRequest(texts=["x"], model="none-such")))
    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def batches(*sizes: int) -> AsyncIterator[EmbedStreamRequest]:
    for number, size in enumerate(sizes):
        yield EmbedStreamRequest(batch=EmbedRequest(texts=[f"{number} {place}" for place in range(size)]))


async def test_a_stream_is_answered_in_its_order_and_a_bad_batch_is_alone(caller: Caller) -> None:
    sizes = (3, 0, 2000, 1, 40)
    answers: list[EmbedStreamResponse] = [
        answer async for answer in caller.embedder.EmbedStream(batches(*sizes))
    ]
    assert [len(rows_of(one.batch)) if one.HasField("batch") else 0 for one in answers] == list(sizes)
    assert (answers[1].error.reason, answers[1].error.field) == ("INVALID_VALUE", "texts")
    alone = await caller.embedder.Embed(EmbedRequest(texts=["4 39"]))
    np.testing.assert_array_equal(rows_of(answers[4].batch)[39], rows_of(alone)[0])


async def test_each_batch_is_answered_although_the_client_sends_no_more(caller: Caller) -> None:
    stream = caller.embedder.EmbedStream()
    for text in TEXTS:
        await stream.write(EmbedStreamRequest(batch=EmbedRequest(texts=[text])))
        answer = await asyncio.wait_for(stream.read(), 20)
        assert rows_of(answer.batch).shape == (1, 64)
    await stream.done_writing()
    assert await stream.code() is StatusCode.OK


async def test_ranks_are_those_that_http_gives(caller: Caller, ask: Ask) -> None:
    answer = await caller.embedder.Rerank(RerankRequest(query="full moon", documents=TEXTS, top_n=1))
    expected = await ask("POST", "/v1/rerank", {"query": "full moon", "documents": TEXTS, "top_n": 1})
    assert [one.index for one in answer.results] == [one["index"] for one in expected["results"]] == [1]
    assert np.isclose(answer.results[0].relevance_score, expected["results"][0]["relevance_score"])
    refusal = await refused(caller.embedder.Rerank(RerankRequest(query="full moon")))
    assert refusal.code is StatusCode.INVALID_ARGUMENT


async def test_tokens_have_their_places_in_the_text(caller: Caller) -> None:
    (text,) = (await caller.embedder.Tokenize(TokenizeRequest(texts=[TEXTS[0]]))).texts
    words = [TEXTS[0][one.start : one.end] for one in text.tokens if one.HasField("start")]
    assert words[:3] == ["The", "moon", "pulls"]
    assert [one.special for one in text.tokens][:1] == [True]
    bare = await caller.embedder.Tokenize(TokenizeRequest(texts=[TEXTS[0]], add_special_tokens=False))
    assert not any(one.special for one in bare.texts[0].tokens)
