"""POST /v1/chat/completions over a language model: OpenAI's shapes, and answers from documents."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from chat_bodies import CALL, CHAT, TIDE, asking, stream

Ask = Callable[..., Awaitable[Any]]


async def test_an_answer_has_openais_shape(ask: Ask) -> None:
    answer = await ask("POST", CHAT, asking("say: Six o'clock. 🌊"))
    (choice,) = answer["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "Six o'clock. 🌊", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert (answer["model"], answer["object"]) == ("fake-llm", "chat.completion")
    assert "sources" not in answer
    usage = answer["usage"]
    assert usage["completion_tokens"] == 17
    assert usage["total_tokens"] == usage["prompt_tokens"] + 17
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
    assert usage["completion_tokens_details"] == {
        "accepted_prediction_tokens": 4,
        "rejected_prediction_tokens": 2,
        "reasoning_tokens": 0,
    }


async def test_a_stream_says_the_same(client: TestClient[Any, Any]) -> None:
    body = asking("say: Six o'clock.", n=2, stream_options={"include_usage": True})
    first, *middle, last, usage = await stream(client, CHAT, body)
    assert [choice["delta"]["role"] for choice in first["choices"]] == ["assistant"] * 2
    for index in range(2):
        said = [one["choices"][0] for one in middle if one["choices"][0]["index"] == index]
        assert "".join(one["delta"]["content"] for one in said) == "Six o'clock."
    assert all(one["choices"][0]["finish_reason"] is None for one in middle)
    assert [choice["finish_reason"] for choice in last["choices"]] == ["stop", "stop"]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 24
    assert all(one["usage"] is None for one in (first, *middle, last))


async def test_log_probabilities_have_openais_shape(ask: Ask, client: TestClient[Any, Any]) -> None:
    body = asking("say: é", logprobs=True, top_logprobs=1)
    told = (await ask("POST", CHAT, body))["choices"][0]["logprobs"]["content"]
    assert [one["bytes"] for one in told] == [[0xC3], [0xA9]]
    assert told[0]["top_logprobs"] == [{"token": "\ufffd", "bytes": [0xC3], "logprob": -0.5}]
    chunks = await stream(client, CHAT, body)
    streamed = [
        one
        for chunk in chunks
        for choice in chunk["choices"]
        for one in (choice["logprobs"] or {"content": []})["content"]
    ]
    assert streamed == told


async def test_a_tool_call_has_openais_shape(ask: Ask) -> None:
    answer = await ask("POST", CHAT, asking(f"say: {CALL}", tools=[TIDE]))
    (choice,) = answer["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert (call["type"], call["function"]["name"]) == ("function", "tide")
    assert json.loads(call["function"]["arguments"]) == {"port": "Kiel"}


async def test_a_tool_call_is_streamed_in_openais_deltas(client: TestClient[Any, Any]) -> None:
    chunks = await stream(client, CHAT, asking(f"say: {CALL}", tools=[TIDE]))
    pieces = [
        piece
        for one in chunks
        for choice in one["choices"]
        for piece in choice["delta"].get("tool_calls", [])
    ]
    first, *rest = pieces
    assert (first["index"], first["type"], first["function"]["name"]) == (0, "function", "tide")
    assert first["id"]
    assert all(set(piece) == {"index", "function"} for piece in rest)
    arguments = "".join(piece["function"].get("arguments", "") for piece in pieces)
    assert json.loads(arguments) == {"port": "Kiel"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_conversation_with_tools_goes_on(ask: Ask) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "prompt:"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "6:00"},
    ]
    answer = await ask("POST", CHAT, {"messages": messages, "tools": [TIDE]})
    prompt = answer["choices"][0]["message"]["content"]
    assert "<!im_start|>system\nBe brief." in prompt
    (made,) = answer["choices"][0]["message"]["tool_calls"]
    assert made["function"] == {"name": "tide", "arguments": '{"a": 1}'}
    assert prompt.endswith("<!im_start|>tool\n6:00<!im_end|>\n<!im_start|>assistant\n")


async def test_what_is_asked_reaches_the_model(ask: Ask) -> None:
    schema = {"type": "object", "properties": {"port": {"type": "string"}}}
    body = asking(
        "show:",
        temperature=0.5,
        top_p=0,
        top_k=-1,
        min_p=0.1,
        seed=-1,
        logit_bias={"5": -100},
        max_tokens=1000,
        max_completion_tokens=999,
        presence_penalty=1,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    asked = json.loads((await ask("POST", CHAT, body))["choices"][0]["message"]["content"])
    assert asked["sampling"] == {
        "temperature": 0.5,
        "top_p": 1e-6,
        "top_k": 0,
        "min_p": 0.1,
        "repetition_penalty": 1.0,
        "presence_penalty": 1.0,
        "frequency_penalty": 0.0,
        "seed": 2**63 - 1,
        "logit_bias": {"5": -100.0},
    }
    assert asked["max_tokens"] == 999
    assert json.loads(asked["grammar"]["value"]) == schema


async def test_a_named_tool_is_forced_by_a_grammar(ask: Ask) -> None:
    choice = {"type": "function", "function": {"name": "tide"}}
    answer = await ask("POST", CHAT, asking("show:", tools=[TIDE], tool_choice=choice))
    asked = json.loads(answer["choices"][0]["message"]["content"])
    assert asked["grammar"]["kind"] == "lark"


@pytest.mark.usefixtures("docs")
class TestRetrieval:
    async def test_what_is_cited_is_a_source_and_numbers_of_nothing_are_none(
        self, ask: Ask, client: TestClient[Any, Any]
    ) -> None:
        body = asking(
            "Which port?\nsay: The service listens on port 8080 [1]. And [9].", model="fake-llm@docs"
        )
        answer = await ask("POST", CHAT, body)
        (source,) = answer["sources"]
        assert source["index"] == 1
        document = await ask("GET", f"/v1/collections/docs/documents/{source['document_id']}?include=text")
        assert document["text"][source["start"] : source["end"]] == source["quote"]
        first, *_, last = await stream(client, CHAT, body)
        assert len(first["sources"]) == 3
        assert last["sources"] == answer["sources"]

    async def test_the_prompt_is_laid_out_for_the_next_one_to_begin_alike(self, ask: Ask) -> None:
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": "Answer."},
            {"role": "user", "content": "Which port?\nprompt:"},
        ]
        body = {"messages": messages, "retrieval": {"collection": "docs", "k": 2}}
        prompt = (await ask("POST", CHAT, body))["choices"][0]["message"]["content"]
        order = ["Be brief.", "numbered passages", "First?", "Answer.", '<passage number="1">', "Which port?"]
        places = [prompt.index(text) for text in order]
        assert places == sorted(places)
        assert prompt.count("<passage number=") == 2

    async def test_what_is_refused_is_refused_with_its_status_also_for_streams(
        self, client: TestClient[Any, Any]
    ) -> None:
        body = asking("Which port? " + "tide " * 900, model="fake-llm@docs", stream=True)
        response = await client.post(CHAT, json=body)
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (400, "context_length_exceeded")
