"""POST /v1/chat/completions: answers, streams and sources."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

from api.http.chat_answer import Heading
from api.http.chat_question import Asked
from api.http.handlers.chat import chunks as chunks_of
from api.security.identity import ANONYMOUS
from api.services.answer import Answerer, AnswerEvent, Finished, Question
from api.services.container import Services
from api.services.rerank_hits import HitReranker, Judged
from api.services.retrieve import Search
from embedd.conversation import Turn
from embedd.extractive import DEFAULT_THRESHOLD
from embedd.generators import NOTHING_FOUND, Delta

PATH = "/v1/chat/completions"


def asking(question: str, **more: Any) -> dict[str, Any]:
    return {"model": "extractive@docs", "messages": [{"role": "user", "content": question}], **more}


async def stream(client: TestClient[Any, Any], body: object) -> list[Any]:
    response = await client.post(PATH, json=body)
    assert response.content_type == "text/event-stream", await response.text()
    lines = [line for line in (await response.text()).split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


async def test_an_answer_quotes_and_cites_its_source(ask: Ask, docs: str) -> None:
    answer = await ask("POST", PATH, asking("Which port does the service listen on?"))
    content = answer["choices"][0]["message"]["content"]
    assert "The service listens on port 8080. [1]" in content
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert {source["document_id"] for source in answer["sources"]} >= {"port"}


async def test_every_source_is_found_at_its_offsets_and_its_number_in_the_text(ask: Ask, docs: str) -> None:
    answer = await ask("POST", PATH, asking("Which port does the service listen on?"))
    assert answer["sources"]
    for source in answer["sources"]:
        path = f"/v1/collections/docs/documents/{source['document_id']}?include=text"
        text = (await ask("GET", path))["text"]
        assert text[source["start"] : source["end"]] == source["quote"]
        assert f"{source['quote']} [{source['index']}]" in answer["choices"][0]["message"]["content"]


async def test_usage_counts_tokens(ask: Ask, docs: str) -> None:
    usage = (await ask("POST", PATH, asking("Which port?")))["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > 2
    assert usage["completion_tokens"] > 2


async def test_a_question_about_something_else_finds_nothing(ask: Ask, docs: str) -> None:
    answer = await ask("POST", PATH, asking("zebra quantum chromodynamics?"))
    assert answer["choices"][0]["message"]["content"] == NOTHING_FOUND
    assert answer["sources"] == []
    assert answer["grounding"]["abstained"]
    assert answer["grounding"]["evidence"] < answer["grounding"]["threshold"]


async def test_an_answer_says_how_much_speaks_for_it(
    client: TestClient[Any, Any], ask: Ask, docs: str
) -> None:
    body = asking("Which port does the service listen on?")
    grounding = (await ask("POST", PATH, body))["grounding"]
    assert not grounding["abstained"]
    assert grounding["evidence"] > grounding["threshold"] == DEFAULT_THRESHOLD
    chunks = await stream(client, body | {"stream": True})
    assert chunks[-1]["grounding"] == grounding
    assert all("grounding" not in chunk for chunk in chunks[:-1])


async def test_how_much_evidence_is_asked_for_is_the_clients_to_say(ask: Ask, docs: str) -> None:
    strict, lenient = ({"collection": "docs", "min_evidence": least} for least in (1.0, 0.0))
    body = asking("Which port does the service listen on?")
    answer = await ask("POST", PATH, body | {"model": "extractive", "retrieval": strict})
    assert answer["choices"][0]["message"]["content"] == NOTHING_FOUND
    assert answer["grounding"]["threshold"] == 1.0
    body = asking("zebra quantum chromodynamics?")
    answer = await ask("POST", PATH, body | {"model": "extractive", "retrieval": lenient})
    assert answer["sources"]
    assert not answer["grounding"]["abstained"]


async def test_a_text_that_two_documents_have_is_one_candidate(
    client: TestClient[Any, Any], ask: Ask, docs: str
) -> None:
    twin = {"id": "port-again", "text": "The service  listens on port 8080. It answers in JSON."}
    twins = [{"id": "port-copy", "text": " ".join(twin["text"].split())}, twin]
    await ask("POST", "/v1/collections/docs/documents?wait=true", {"documents": twins})
    chunks = await stream(client, asking("Which port does the service listen on?", stream=True))
    found = [source["quote"] for source in chunks[0]["sources"]]
    assert len({" ".join(quote.split()) for quote in found}) == len(found)


async def test_neighbouring_passages_are_one_source(client: TestClient[Any, Any], ask: Ask) -> None:
    text = "\n\n".join(f"Harbour number {number} has a lighthouse of its own." for number in range(4))
    await ask("PUT", "/v1/collections/coast", {"chunk_tokens": 16, "token_vectors": "2bit"}, status=201)
    body = {"documents": [{"id": "coast", "text": text}]}
    written = await ask("POST", "/v1/collections/coast/documents?wait=true", body)
    assert written["documents"][0]["passages"] == 4
    body = asking("Which harbour has a lighthouse?", stream=True) | {"model": "extractive@coast"}
    chunks = await stream(client, body)
    assert [(one["start"], one["end"]) for one in chunks[0]["sources"]] == [(0, len(text))]
    assert len(chunks[-1]["sources"]) == 3
    for source in chunks[-1]["sources"]:
        assert text[source["start"] : source["end"]] == source["quote"]


async def test_a_stream_says_the_same_as_the_plain_answer(
    client: TestClient[Any, Any], ask: Ask, docs: str
) -> None:
    body = asking("Which port does the service listen on?")
    plain = await ask("POST", PATH, body)
    chunks = await stream(client, body | {"stream": True})
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert said == plain["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "stop"
    assert chunks[-1]["sources"] == plain["sources"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_the_first_chunk_has_the_candidates(client: TestClient[Any, Any], docs: str) -> None:
    chunks = await stream(client, asking("Which port?", stream=True))
    assert {source["document_id"] for source in chunks[0]["sources"]} == {"kill", "port", "hafen"}
    assert [source["index"] for source in chunks[0]["sources"]] == [1, 2, 3]


async def test_usage_comes_in_an_extra_chunk_when_asked(client: TestClient[Any, Any], docs: str) -> None:
    chunks = await stream(client, asking("Which port?", stream=True, stream_options={"include_usage": True}))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


async def test_retrieval_chooses_the_collection_and_how_to_search_it(ask: Ask, docs: str) -> None:
    retrieval = {"collection": "docs", "k": 1, "filter": {"lang": "de"}, "mode": "lexical"}
    body = asking("Port 8080?") | {"model": "extractive", "retrieval": retrieval}
    answer = await ask("POST", PATH, body)
    assert {source["document_id"] for source in answer["sources"]} == {"hafen"}


async def test_content_may_come_in_parts(ask: Ask, docs: str) -> None:
    parts = [{"type": "text", "text": "Which port does"}, {"type": "text", "text": "the service listen on?"}]
    body = {"model": "extractive@docs", "messages": [{"role": "user", "content": parts}]}
    assert (await ask("POST", PATH, body))["sources"]


async def test_models_lists_the_generator_over_each_collection(ask: Ask, docs: str) -> None:
    names = [model["id"] for model in (await ask("GET", "/v1/models"))["data"]]
    assert names == ["fake", "extractive", "extractive@docs"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": []}, "messages"),
        ({}, "messages"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "needs a collection"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "role"),
        (asking("x") | {"messages": [{"role": "system", "content": "only rules"}]}, "no question"),
        (asking("x", n=2), "n"),
        (asking("x", retrieval={"collection": "docs", "unknown": 1}), "unknown"),
        (asking("x", retrieval={"collection": "docs", "filter": {"$bad": 1}}), "$bad"),
        (asking("x") | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
    ],
)
async def test_a_bad_question_is_a_400_that_says_why(ask: Ask, docs: str, body: object, says: str) -> None:
    assert says in (await ask("POST", PATH, body, status=400))["error"]["message"]


@pytest.mark.parametrize("model", ["gpt-4@docs", "gpt-4", "extractive@missing"])
async def test_an_unknown_model_or_collection_is_a_404_also_for_streams(
    ask: Ask, docs: str, model: str
) -> None:
    for streamed in (False, True):
        await ask("POST", PATH, asking("x", stream=streamed) | {"model": model}, status=404)


async def test_chats_are_reranked_late_where_token_vectors_are_kept_unless_told_otherwise(
    ask: Ask, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    judge = HitReranker.by_late_interaction

    async def counting(self: HitReranker, *given: Any) -> list[Judged]:
        judged.append(1)
        return await judge(self, *given)

    monkeypatch.setattr(HitReranker, "by_late_interaction", counting)
    await ask("PUT", "/v1/collections/kept", {"token_vectors": "2bit"}, status=201)
    body = {"documents": [{"id": "port", "text": "The service listens on port 8080."}]}
    await ask("POST", "/v1/collections/kept/documents?wait=true", body)
    for retrieval in ({"collection": "docs"}, {"collection": "kept", "rerank": None}):
        await ask("POST", PATH, asking("Which port?") | {"model": "extractive", "retrieval": retrieval})
    assert judged == []
    await ask("POST", PATH, asking("Which port?") | {"model": "extractive@kept"})
    assert judged == [1]


async def test_what_is_searched_for_may_be_said_apart_from_the_last_turn(
    services: Services, docs: str
) -> None:
    search = Search(k=3, mode="hybrid", text="Which port does the service listen on?")
    store = await services.catalog.get("docs")
    question = Question((Turn("user", "And that one?"),), "extractive", store=store, scope=search)
    events = [event async for event in services.answerer.answer(question)]
    assert isinstance(events[-1], Finished)
    assert {source.document_id for source in events[-1].cited} >= {"port"}


async def test_a_client_that_leaves_stops_the_answer_before_the_handler_ends(
    services: Services, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[bool] = []

    async def answer(self: Answerer, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        try:
            while True:
                yield Delta("word ")
        finally:
            stopped.append(True)

    monkeypatch.setattr(Answerer, "answer", answer)
    question = Question((Turn("user", "anything"),), "extractive")
    chunks = chunks_of(services, Asked(question, Heading.new("extractive"), ANONYMOUS))
    await anext(chunks)
    await chunks.aclose()
    assert stopped
