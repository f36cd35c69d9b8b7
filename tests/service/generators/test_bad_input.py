"""What cannot be answered: a 400 in OpenAI's shape that says why, and models that are not there."""

import json
from typing import Any

import pytest
from asking import Ask
from chat_bodies import CHAT, COMPLETIONS, TIDE, asking

SHAPELESS = {"name": "x", "schema": {"a": 1}}
DEEP = {"name": "x", "schema": json.loads('{"a":' * 300 + "1" + "}" * 300)}
NOWHERE = {"type": "function", "function": {"name": "x"}}
MADE = {"id": "1", "function": {"name": "tide"}}
CALLING = {"role": "assistant", "tool_calls": [MADE]}

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
    ({"logit_bias": {"9" * 5000: 1}}, "no token id"),
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


async def test_a_bad_chat_is_a_400_that_says_why(ask: Ask, subtests: pytest.Subtests) -> None:
    for change, says in BAD_CHATS:
        with subtests.test(says=says, change=str(change)[:80]):
            error = (await ask("POST", CHAT, asking("say: x") | change, status=400))["error"]
            assert says in error["message"]
            assert set(error) == {"message", "type", "param", "code"}


async def test_models_that_are_not_there_are_told_apart(ask: Ask) -> None:
    unknown = (await ask("POST", CHAT, asking("x", model="gpt-5"), status=404))["error"]
    assert "fake-llm, cloud, extractive, repeats" in unknown["message"]
    broken = (await ask("POST", CHAT, asking("x", model="none-such"), status=503))["error"]
    assert "no generator 'none-such': name 'extractive'" in broken["message"]


async def test_a_bad_completion_is_a_400_that_says_why(ask: Ask, subtests: pytest.Subtests) -> None:
    for body, says in BAD_COMPLETIONS:
        with subtests.test(says=says, body=str(body)[:80]):
            assert says in (await ask("POST", COMPLETIONS, body, status=400))["error"]["message"]
