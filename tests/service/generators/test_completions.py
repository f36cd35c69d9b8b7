"""POST /v1/completions: OpenAI's shape, several prompts, echoes and log probabilities."""

from typing import Any

from aiohttp.test_utils import TestClient
from asking import Ask
from chat_bodies import COMPLETIONS, stream


async def test_a_completion_has_openais_shape(ask: Ask) -> None:
    answer = await ask("POST", COMPLETIONS, {"prompt": "say: Six o'clock.", "model": "fake-llm"})
    assert answer["object"] == "text_completion"
    assert answer["id"].startswith("cmpl-")
    assert answer["choices"] == [
        {"index": 0, "text": "Six o'clock.", "logprobs": None, "finish_reason": "stop"}
    ]
    assert answer["usage"]["total_tokens"] == len("say: Six o'clock.") + len("Six o'clock.")


async def test_prompts_and_choices_are_numbered_one_after_another(
    ask: Ask, client: TestClient[Any, Any]
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


async def test_token_ids_are_taken_as_they_are(ask: Ask) -> None:
    ids = list(b"say: tide")
    one = await ask("POST", COMPLETIONS, {"prompt": ids})
    two = await ask("POST", COMPLETIONS, {"prompt": [ids, ids]})
    assert one["choices"][0]["text"] == "tide"
    assert [choice["text"] for choice in two["choices"]] == ["tide", "tide"]


async def test_an_answer_has_sixteen_tokens_unless_it_is_said_otherwise(ask: Ask) -> None:
    answer = await ask("POST", COMPLETIONS, {"prompt": "forever:"})
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 16


async def test_log_probabilities_stand_side_by_side(ask: Ask, client: TestClient[Any, Any]) -> None:
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


async def test_generators_that_count_nothing_are_counted(ask: Ask) -> None:
    answer = await ask("POST", COMPLETIONS, {"prompt": "two words", "model": "repeats"})
    assert answer["choices"][0]["text"] == "fake: two words"
    assert answer["usage"]["prompt_tokens"] > 0
