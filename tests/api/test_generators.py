"""Chats and completions over language models: the fake one, and an upstream that misbehaves on demand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from fake_models import until
from upstreams import Upstream, chunk, falling_silent, open_upstream, refusing, streaming

from api.app import open_services
from api.services.container import Services
from api.settings import load_settings

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
Ask = Callable[..., Awaitable[Any]]
TIDE = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
SHAPELESS = {"name": "x", "schema": {"a": 1}}
DEEP = {"name": "x", "schema": json.loads('{"a":' * 300 + "1" + "}" * 300)}
NOWHERE = {"type": "function", "function": {"name": "x"}}
MADE = {"id": "1", "function": {"name": "tide"}}
CALLING = {"role": "assistant", "tool_calls": [MADE]}
CALL = '<tool_call>\n{"name": "tide", "arguments": {"port": "Kiel"}}\n</tool_call>'

BAD_CHATS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 10**9}, "context is 4096"),
    ({"max_tokens": 10**40}, "context is 4096"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"n": 0}, "n"),
    ({"n": 129}, "n"),
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"stop": ["x"] * 10_000}, "stop has 10000 strings, limit 16"),
    ({"stop": [""]}, "stop"),
    ({"logit_bias": {"261": 1}}, "this model's are 0 to 260"),
    ({"logit_bias": {"tide": 1}}, "no token id"),
    ({"logit_bias": {"5": 101}}, "logit_bias"),
    ({"top_logprobs": 3}, "top_logprobs needs logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "needs json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": SHAPELESS}},
        "says no type",
    ),
    ({"response_format": {"type": "json_schema", "json_schema": DEEP}}, "100 levels"),
    ({"tools": [{"type": "function", "function": {"name": "x", "parameters": DEEP}}]}, "100 levels"),
    ({"chat_template_kwargs": DEEP}, "100 levels"),
    ({"tools": [TIDE, TIDE]}, "name twice"),
    ({"tools": [{"type": "function", "function": {"name": "no blanks"}}]}, "name"),
    ({"tool_choice": "required"}, "there are no tools"),
    ({"tools": [TIDE], "tool_choice": NOWHERE}, "not in tools"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user"}]}, "no content"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "did not make"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, ""),
    ({"messages": [{"role": "user", "content": "x", "tool_calls": [MADE]}]}, "not the assistant's"),
    ({"messages": [CALLING, {"role": "user", "content": "x"}]}, "no message of role 'tool'"),
    ({"messages": [CALLING]}, "no message of role 'tool'"),
]
BAD_COMPLETIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": ""}, "empty"),
    ({"prompt": ["", "", "say: x"]}, "empty"),
    ({"prompt": [1, "x"]}, "not both"),
    ({"prompt": [261]}, "token 261; this model's are 0 to 260"),
    ({"prompt": [2**40]}, "token ids that no model has"),
    ({"prompt": ["x"] * 129}, "129 answers"),
    ({"prompt": "x", "suffix": "y"}, "suffix"),
    ({"prompt": "x", "best_of": 3}, "best_of"),
    ({"prompt": "x", "echo": True, "logprobs": 1}, "echo"),
    ({"prompt": [1], "echo": True}, "echo"),
    ({"prompt": "x", "model": "extractive"}, "ask it in a chat"),
    ({"prompt": "x" * 5000}, "context is 4096"),
]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with open_upstream() as upstream:
        yield upstream


@pytest.fixture
async def services(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Services]:
    """The fake language model by default, with others beside it."""
    others = f"cloud=openai:big-model@{upstream.url}, extractive, repeats=fake, none-such"
    settings = {"generator": "fake-llm", "generators": others, "upstream_timeout_s": 0.3}
    async with open_services(
        load_settings({"data": tmp_path / "data", "model": "fake", "port": 0, **settings})
    ) as services:
        await services.models.embedder().wait_ready()
        await services.models.generator("fake-llm").wait_ready()  # type: ignore[attr-defined]
        yield services


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def stream(client: TestClient[Any, Any], path: str, body: Any) -> list[Any]:
    response = await client.post(path, json={**body, "stream": True})
    assert response.content_type == "text/event-stream", await response.text()
    lines = [line for line in (await response.text()).split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


class TestChat:
    async def test_an_answer_has_openais_shape(self, ask: Ask) -> None:
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

    async def test_a_stream_says_the_same(self, client: TestClient[Any, Any]) -> None:
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

    async def test_log_probabilities_have_openais_shape(self, ask: Ask, client: TestClient[Any, Any]) -> None:
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

    async def test_a_tool_call_has_openais_shape(self, ask: Ask) -> None:
        answer = await ask("POST", CHAT, asking(f"say: {CALL}", tools=[TIDE]))
        (choice,) = answer["choices"]
        (call,) = choice["message"]["tool_calls"]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        assert (call["type"], call["function"]["name"]) == ("function", "tide")
        assert json.loads(call["function"]["arguments"]) == {"port": "Kiel"}

    async def test_a_tool_call_is_streamed_in_openais_deltas(self, client: TestClient[Any, Any]) -> None:
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

    async def test_a_conversation_with_tools_goes_on(self, ask: Ask) -> None:
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

    async def test_what_is_asked_reaches_the_model(self, ask: Ask) -> None:
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

    async def test_a_named_tool_is_forced_by_a_grammar(self, ask: Ask) -> None:
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


class TestBadInput:
    async def test_it_is_a_400_that_says_why(self, ask: Ask, subtests: pytest.Subtests) -> None:
        for change, says in BAD_CHATS:
            with subtests.test(says=says, change=str(change)[:80]):
                error = (await ask("POST", CHAT, asking("say: x") | change, status=400))["error"]
                assert says in error["message"]
                assert set(error) == {"message", "type", "param", "code"}

    async def test_models_that_are_not_there_are_told_apart(self, ask: Ask) -> None:
        unknown = (await ask("POST", CHAT, asking("x", model="gpt-5"), status=404))["error"]
        assert "fake-llm, cloud, extractive, repeats" in unknown["message"]
        broken = (await ask("POST", CHAT, asking("x", model="none-such"), status=503))["error"]
        assert "no generator 'none-such': name 'extractive'" in broken["message"]


class TestCompletions:
    async def test_a_completion_has_openais_shape(self, ask: Ask) -> None:
        answer = await ask("POST", COMPLETIONS, {"prompt": "say: Six o'clock.", "model": "fake-llm"})
        assert answer["object"] == "text_completion"
        assert answer["id"].startswith("cmpl-")
        assert answer["choices"] == [
            {"index": 0, "text": "Six o'clock.", "logprobs": None, "finish_reason": "stop"}
        ]
        assert answer["usage"]["total_tokens"] == len("say: Six o'clock.") + len("Six o'clock.")

    async def test_prompts_and_choices_are_numbered_one_after_another(
        self, ask: Ask, client: TestClient[Any, Any]
    ) -> None:
        body = {"prompt": ["say: one", "say: two"], "n": 2, "echo": True}
        answer = await ask("POST", COMPLETIONS, body)
        texts = {choice["index"]: choice["text"] for choice in answer["choices"]}
        assert texts == {0: "say: oneone", 1: "say: oneone", 2: "say: twotwo", 3: "say: twotwo"}
        streamed = ["", "", "", ""]
        for one in await stream(client, COMPLETIONS, body):
            for choice in one["choices"]:
                streamed[choice["index"]] += choice["text"]
        assert dict(enumerate(streamed)) == texts

    async def test_token_ids_are_taken_as_they_are(self, ask: Ask) -> None:
        ids = list(b"say: tide")
        one = await ask("POST", COMPLETIONS, {"prompt": ids})
        two = await ask("POST", COMPLETIONS, {"prompt": [ids, ids]})
        assert one["choices"][0]["text"] == "tide"
        assert [choice["text"] for choice in two["choices"]] == ["tide", "tide"]

    async def test_an_answer_has_sixteen_tokens_unless_it_is_said_otherwise(self, ask: Ask) -> None:
        answer = await ask("POST", COMPLETIONS, {"prompt": "forever:"})
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 16

    async def test_log_probabilities_stand_side_by_side(self, ask: Ask, client: TestClient[Any, Any]) -> None:
        body = {"prompt": "say: ab", "logprobs": 1}
        told = (await ask("POST", COMPLETIONS, body))["choices"][0]["logprobs"]
        assert told == {
            "tokens": ["a", "b"],
            "token_logprobs": [-0.5, -0.5],
            "top_logprobs": [{"a": -0.5}, {"b": -0.5}],
            "text_offset": [0, 1],
        }
        chunks = await stream(client, COMPLETIONS, body)
        offsets = [
            offset
            for one in chunks
            for choice in one["choices"]
            for offset in (choice["logprobs"] or {"text_offset": []})["text_offset"]
        ]
        assert offsets == [0, 1]

    async def test_bad_input_is_a_400_that_says_why(self, ask: Ask, subtests: pytest.Subtests) -> None:
        for body, says in BAD_COMPLETIONS:
            with subtests.test(says=says, body=str(body)[:80]):
                assert says in (await ask("POST", COMPLETIONS, body, status=400))["error"]["message"]

    async def test_generators_that_count_nothing_are_counted(self, ask: Ask) -> None:
        answer = await ask("POST", COMPLETIONS, {"prompt": "two words", "model": "repeats"})
        assert answer["choices"][0]["text"] == "fake: two words"
        assert answer["usage"]["prompt_tokens"] > 0


class TestUpstream:
    async def test_an_upstream_answers_like_a_model_of_this_service(
        self, ask: Ask, client: TestClient[Any, Any], upstream: Upstream
    ) -> None:
        answer = await ask("POST", CHAT, asking("When?", model="cloud"))
        assert answer["choices"][0]["message"]["content"] == "Six o'clock."
        assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}
        chunks = await stream(client, CHAT, asking("When?", model="cloud"))
        assert (
            "".join(choice["delta"].get("content", "") for one in chunks for choice in one["choices"])
            == "Six o'clock."
        )
        assert upstream.requests[0]["model"] == "big-model"

    @pytest.mark.parametrize(
        ("behave", "status", "code"),
        [
            (refusing(400, "bad schema"), 400, "upstream_refused"),
            (refusing(401), 502, "upstream_failed"),
            (refusing(500), 502, "upstream_failed"),
            (refusing(429, "slow down", **{"Retry-After": "60"}), 429, "overloaded"),
            (refusing(503, "loading", **{"Retry-After": "60"}), 503, "upstream_unavailable"),
            (falling_silent(), 504, "upstream_timed_out"),
            (streaming(b"garbage"), 502, "upstream_failed"),
        ],
    )
    async def test_what_goes_wrong_before_a_word_has_a_status(
        self, client: TestClient[Any, Any], upstream: Upstream, behave: Any, status: int, code: str
    ) -> None:
        upstream.behave = behave
        for streamed in (False, True):
            response = await client.post(CHAT, json=asking("When?", model="cloud", stream=streamed))
            assert (response.status, (await response.json())["error"]["code"]) == (status, code)
            assert ("Retry-After" in response.headers) == (status in (429, 503))

    async def test_garbage_in_the_middle_ends_the_stream_with_an_error_and_nobody_elses(
        self, client: TestClient[Any, Any], ask: Ask, upstream: Upstream
    ) -> None:
        upstream.behave = streaming(chunk({"role": "assistant", "content": "Six "}), b"garbage")
        response = await client.post(CHAT, json=asking("When?", model="cloud", stream=True))
        assert response.status == 200
        *_, last = (await response.text()).strip().split("\n\n")
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_failed"
        info = {model["name"]: model for model in (await ask("GET", "/v1/info"))["models"]}
        assert info["cloud"]["status"] == "stalled"
        assert (await ask("POST", CHAT, asking("say: on")))["choices"][0]["message"]["content"] == "on"


class TestLifecycle:
    async def test_every_generator_is_listed_with_its_state(self, ask: Ask, docs: str) -> None:
        assert docs == "docs"
        info = await ask("GET", "/v1/info")
        assert info["generator"] == "fake-llm"
        states = {
            one["name"]: (one["status"], one.get("source"), one.get("context"))
            for one in info["models"]
            if one["kind"] == "generator"
        }
        assert states["fake-llm"] == ("ready", "fake:llm", 4096)
        assert states["cloud"][1].startswith("openai:big-model@http://127.0.0.1:")
        assert states["none-such"][0] == "failed"
        names = [model["id"] for model in (await ask("GET", "/v1/models"))["data"]]
        assert {"fake-llm", "fake-llm@docs", "cloud", "cloud@docs", "extractive@docs"} <= set(names)
        (note,) = (await ask("GET", "/readyz"))["notes"]
        assert "generator 'none-such' is failed" in note

    async def test_a_client_that_leaves_ends_its_answer(
        self, client: TestClient[Any, Any], services: Services, upstream: Upstream
    ) -> None:
        for streamed in (True, False):
            pending = asyncio.ensure_future(
                client.post(CHAT, json=asking("forever:", max_tokens=4000, stream=streamed))
            )
            generator: Any = services.models.generator("fake-llm")
            await until(lambda it=generator: it.running)
            if pending.done():
                pending.result().close()
            pending.cancel()
            await until(lambda it=generator: not it.running)
        response = await client.post(
            COMPLETIONS, json={"prompt": ["forever:", "forever:"], "max_tokens": 2000, "stream": True}
        )
        response.close()
        await until(lambda it=generator: not it.running)
        upstream.behave = falling_silent("Six ")
        response = await client.post(CHAT, json=asking("When?", model="cloud", stream=True))
        response.close()
        await until(lambda: upstream.left)

    async def test_a_dead_worker_is_told_and_replaced(self, client: TestClient[Any, Any], ask: Ask) -> None:
        response = await client.post(CHAT, json=asking("die:", stream=True))
        *_, last = (await response.text()).strip().split("\n\n")
        assert "SIGKILL" in json.loads(last.removeprefix("data: "))["error"]["message"]
        refused = await client.post(CHAT, json=asking("die:"))
        assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (503, True)
        assert (await ask("POST", CHAT, asking("say: on")))["choices"][0]["message"]["content"] == "on"

    async def test_what_a_model_does_is_measured(self, client: TestClient[Any, Any], ask: Ask) -> None:
        for _ in range(2):
            await ask("POST", CHAT, asking("say: Six o'clock."))
        page = await (await client.get("/metrics")).text()
        lines = [line for line in page.splitlines() if 'model="fake-llm"' in line]
        values = {line.split("{")[0]: float(line.split()[-1]) for line in lines if "le=" not in line}
        assert values["embedd_time_to_first_token_seconds_count"] == 2
        assert values["embedd_inter_token_latency_seconds_count"] == 2 * (len("Six o'clock.") - 1)
        assert values["embedd_prefix_hit_tokens_total"] > 0
        assert values["embedd_spec_accepted_tokens_total"] == 6
        assert values["embedd_generation_workers_live"] == 1
        assert values["embedd_kv_cache_usage_ratio"] == 0
