"""The openai package, as it comes, against a real service: embeddings, models, chat, streams, errors."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from real_service import Launcher, Service

from embedd.fake import FakeTokenizer

TIDES = "The moon pulls the sea. Spring tides come at new and full moon."
QUESTION = [{"role": "user", "content": "When do spring tides come?"}]


@pytest.fixture(scope="module")
def notes(service: Service) -> Service:
    """A service with a collection of two documents, besides one that has none."""
    documents = [
        {"id": "tides", "title": "Tides", "text": TIDES},
        {"id": "wind", "title": "Wind", "text": "Wind is air that moves from high to low pressure."},
    ]
    with service.client() as client:
        client.put("/v1/collections/empty", json={}).raise_for_status()
        client.put("/v1/collections/notes", json={}).raise_for_status()
        path = "/v1/collections/notes/documents?wait=true"
        client.post(path, json={"documents": documents}).raise_for_status()
    return service


@pytest.fixture
def client(notes: Service) -> Iterator[openai.OpenAI]:
    http = httpx.Client(trust_env=False)
    with openai.OpenAI(
        base_url=f"{notes.url}/v1", api_key="unused", max_retries=0, http_client=http
    ) as client:
        yield client


def open_async_client(service: Service) -> openai.AsyncOpenAI:
    http = httpx.AsyncClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, http_client=http)


async def test_the_async_client_streams(notes: Service) -> None:
    async with open_async_client(notes) as client:
        stream = await client.chat.completions.create(
            model="extractive@notes", messages=QUESTION, stream=True
        )
        words = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "[1]" in "".join(words)


def test_embeddings_are_the_same_in_the_clients_own_encoding_and_as_numbers(client: openai.OpenAI) -> None:
    texts = ["The moon pulls the sea.", "Wind is air that moves."]
    by_default = client.embeddings.create(model="fake", input=texts)
    as_numbers = client.embeddings.create(model="fake", input=texts, encoding_format="float")
    encoded = client.embeddings.create(model="fake", input=texts, encoding_format="base64")
    assert [one.index for one in by_default.data] == [0, 1]
    for mine, numbers, text in zip(by_default.data, as_numbers.data, encoded.data, strict=True):
        assert len(mine.embedding) == 64
        assert np.array_equal(np.float32(mine.embedding), np.float32(numbers.embedding))
        decoded = np.frombuffer(base64.b64decode(str(text.embedding)), dtype="<f4")
        assert np.array_equal(decoded, np.float32(numbers.embedding))
    assert by_default.model == "fake"
    assert by_default.usage.total_tokens == by_default.usage.prompt_tokens > 0


def test_embeddings_come_in_a_byte_or_a_bit_for_each_number(client: openai.OpenAI) -> None:
    def embed(output_dtype: str) -> list[float]:
        options: Any = {"encoding_format": "float", "extra_body": {"output_dtype": output_dtype}}
        return client.embeddings.create(model="fake", input="The sea.", **options).data[0].embedding

    numbers = np.array(embed("float"))
    assert np.corrcoef(numbers, embed("int8"))[0, 1] > 0.999
    assert embed("ubinary") == np.packbits(numbers > 0).tolist()


def test_token_ids_are_taken_as_they_are(client: openai.OpenAI) -> None:
    (ids,) = FakeTokenizer().encode(["The sea."], 256, "none")
    (by_ids,) = client.embeddings.create(model="fake", input=ids.ids.tolist()).data
    (by_text,) = client.embeddings.create(model="fake", input="The sea.").data
    assert by_ids.embedding == by_text.embedding


def test_embeddings_can_be_shortened(client: openai.OpenAI) -> None:
    (short,) = client.embeddings.create(model="fake", input="The sea.", dimensions=8).data
    assert len(short.embedding) == 8
    assert np.linalg.norm(short.embedding) == pytest.approx(1.0, abs=1e-5)


def test_the_models_are_those_that_requests_may_name(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"fake", "extractive@notes", "extractive@empty"} <= set(names)
    assert len(names) == len(set(names))


def test_a_chat_answer_quotes_the_collection(client: openai.OpenAI) -> None:
    answer: Any = client.chat.completions.create(model="extractive@notes", messages=QUESTION)
    (choice,) = answer.choices
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    check_sources(choice.message.content, answer.sources)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.object == "chat.completion"


def test_a_chat_answer_can_be_told_where_to_look(client: openai.OpenAI) -> None:
    retrieval = {"collection": "notes", "k": 1, "filter": {"document_id": "wind"}}
    answer: Any = client.chat.completions.create(
        model="extractive",
        messages=[{"role": "user", "content": "What is wind?"}],
        extra_body={"retrieval": retrieval},
    )
    assert {source["document_id"] for source in answer.sources} == {"wind"}


def test_an_answer_that_finds_nothing_has_no_sources(client: openai.OpenAI) -> None:
    answer: Any = client.chat.completions.create(model="extractive@empty", messages=QUESTION)
    assert answer.sources == []
    assert answer.choices[0].message.content


def test_a_stream_begins_with_candidates_and_ends_with_what_was_cited(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="extractive@notes", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks: list[Any] = list(stream)
    first, *middle, last, usage = chunks
    assert first.choices[0].delta.role == "assistant"
    assert {source["document_id"] for source in first.sources} == {"tides", "wind"}
    assert all("sources" not in chunk.model_extra for chunk in middle)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in (first, *middle, last))
    check_sources(text, last.sources)
    assert [chunk.choices[0].finish_reason for chunk in (first, *middle, last)][-1] == "stop"
    assert usage.choices == []
    assert usage.usage.total_tokens == usage.usage.prompt_tokens + usage.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in (first, *middle, last))
    assert len({chunk.id for chunk in chunks}) == 1


def check_sources(text: str, sources: list[dict[str, Any]]) -> None:
    """Every source is cited, every quote stands in its document where it says."""
    assert sources
    for source in sources:
        assert f"[{source['index']}]" in text
        assert source["document_id"] == "tides"
        assert TIDES[source["start"] : source["end"]] == source["quote"]
        assert source["quote"] in text


def test_a_stream_without_usage_has_none(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="extractive@notes", messages=QUESTION, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize(
    ("model", "missing"),
    [("nobody", "nobody"), ("nobody@notes", "nobody"), ("extractive@nowhere", "nowhere")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_there_is_not_found(
    client: openai.OpenAI, model: str, missing: str, *, stream: bool
) -> None:
    with pytest.raises(openai.NotFoundError, match=missing) as caught:
        client.chat.completions.create(model=model, messages=QUESTION, stream=stream)
    assert caught.value.type == "not_found_error"


def test_an_unknown_embedding_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody") as caught:
        client.embeddings.create(model="nobody", input="The sea.")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [[1, 2**31]]}, "check_embedding_ctx_length=False"),
        ({"input": ["The sea.", [1, 2]]}, "input"),
        ({"input": "The sea.", "dimensions": 65}, "dimensions"),
        ({"input": "The sea.", "dimensions": 0}, "dimensions"),
    ],
)
def test_what_cannot_be_embedded_is_a_bad_request(
    client: openai.OpenAI, request_: dict[str, Any], named: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=named) as caught:
        client.embeddings.create(model="fake", **request_)
    assert caught.value.type == "invalid_request_error"


def test_quoting_without_a_collection_is_a_bad_request_that_says_so(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="needs a collection"):
        client.chat.completions.create(model="extractive", messages=QUESTION)


@pytest.fixture(scope="module")
def talkative(shared_services: Launcher) -> Service:
    """A service whose generator repeats the question, word by word."""
    return shared_services.start("--generator", "fake")


async def test_leaving_streams_early_leaves_the_service_healthy(talkative: Service) -> None:
    long = [{"role": "user", "content": "tide " * 50_000}]
    short = [{"role": "user", "content": "tide"}]
    async with open_async_client(talkative) as client:
        for _ in range(5):
            stream = await client.chat.completions.create(model="fake", messages=long, stream=True)
            await anext(stream.__aiter__())
            await stream.close()
        answer = await client.chat.completions.create(model="fake", messages=short)
    assert answer.choices[0].message.content == "fake: tide"
    with talkative.client() as client:
        assert client.get("/readyz").json()["ready"] is True
    assert not talkative.events("request_failed"), "who leaves is no failure of the service"
    assert not talkative.events("stream_failed")
