"""The openai package, as it comes, against a service with a language model: chats, tools, completions."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from real_service import Launcher, Service

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "tide",
            "description": "When the tide comes",
            "parameters": {"type": "object", "properties": {"port": {"type": "string"}}},
        },
    }
]
CALL = '<tool_call>\n{"name": "tide", "arguments": {"port": "Kiel"}}\n</tool_call>'


@pytest.fixture(scope="module")
def model(shared_services: Launcher) -> Service:
    """A service whose model does as it is told."""
    return shared_services.start("--generator", "fake-llm", "--generators", "extractive")


@pytest.fixture
def client(model: Service) -> Iterator[openai.OpenAI]:
    with open_client(model) as client:
        yield client


def open_client(service: Service) -> openai.OpenAI:
    http = httpx.Client(trust_env=False)
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, http_client=http)


def asking(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_a_chat_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake-llm", messages=asking("say: Six o'clock."), temperature=0.2, seed=1, max_tokens=100
    )
    assert answer.choices[0].message.content == "Six o'clock."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.accepted_prediction_tokens == 3


def test_a_stream_helper_puts_an_answer_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="fake-llm", messages=asking(f"say: One moment. {CALL}"), tools=TOOLS
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert final.choices[0].message.content == "One moment. "
    assert json.loads(call.function.arguments) == {"port": "Kiel"}
    assert {
        "content.delta",
        "tool_calls.function.arguments.delta",
        "tool_calls.function.arguments.done",
    } <= kinds


def test_a_tool_is_called_and_its_answer_is_read(client: openai.OpenAI) -> None:
    messages = asking(f"say: {CALL}")
    first = client.chat.completions.create(model="fake-llm", messages=messages, tools=TOOLS)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls or []
    messages += [first.choices[0].message.to_dict()]
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "6:00"}]
    messages += asking("say: At six.")
    second = client.chat.completions.create(model="fake-llm", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content == "At six."


def test_an_answer_can_be_parsed_into_a_shape(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"port": {"type": "string"}}}
    answer = client.chat.completions.create(
        model="fake-llm",
        messages=asking('say: {"port": "Kiel"}'),
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": schema, "strict": True},
        },
    )
    assert json.loads(answer.choices[0].message.content or "") == {"port": "Kiel"}


def test_log_probabilities_are_read(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake-llm", messages=asking("say: ab"), logprobs=True, top_logprobs=2
    )
    told = answer.choices[0].logprobs
    assert told is not None
    assert [one.token for one in told.content or []] == ["a", "b"]
    assert [best.logprob for best in (told.content or [])[0].top_logprobs] == [-0.5, -1.5]


def test_a_text_is_completed_and_streamed(client: openai.OpenAI) -> None:
    plain = client.completions.create(model="fake-llm", prompt="say: on and on", n=2, logprobs=1)
    assert [choice.text for choice in plain.choices] == ["on and on"] * 2
    chunks = list(
        client.completions.create(
            model="fake-llm", prompt="say: on", stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "on"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2


def test_what_cannot_be_answered_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="context is 4096") as caught:
        client.chat.completions.create(model="fake-llm", messages=asking("tide " * 2000))
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model="fake-llm", messages=asking("x"), temperature=3)


def test_many_clients_that_leave_at_any_moment_leave_nothing_running(model: Service) -> None:
    def leave(after: int) -> None:
        with open_client(model) as client:
            stream = client.chat.completions.create(
                model="fake-llm", messages=asking("forever:"), max_tokens=3000, stream=True
            )
            for _ in zip(range(after), stream, strict=False):
                pass
            stream.close()

    leaving = [threading.Thread(target=leave, args=(after,)) for after in range(24)]
    for one in leaving:
        one.start()
    for one in leaving:
        one.join()
    with open_client(model) as client:
        answer = client.chat.completions.create(model="fake-llm", messages=asking("say: free"))
    assert answer.choices[0].message.content == "free"
    with model.client() as client:
        metrics = client.get("/metrics").text
    assert 'embedd_generation_running{model="fake-llm"} 0.0' in metrics
    assert 'embedd_kv_cache_usage_ratio{model="fake-llm"} 0.0' in metrics
    assert not model.events("request_failed")


def test_an_answer_that_is_being_written_is_finished_before_the_service_ends(services: Launcher) -> None:
    service = services.start("--generator", "fake-llm")
    with open_client(service) as client:
        stream = client.chat.completions.create(
            model="fake-llm", messages=asking("forever:"), max_tokens=1000, stream=True
        )
        chunks = iter(stream)
        next(chunks)
        os.kill(service.pid, signal.SIGTERM)
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert reasons[-1] == "length"
    assert service.wait() == 0
