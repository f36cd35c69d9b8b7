"""Chats over an upstream: the same answers, and a status for everything that goes wrong with it."""

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask
from chat_bodies import CHAT, asking, stream
from upstreams import Upstream, chunk, falling_silent, refusing, streaming


async def test_an_upstream_answers_like_a_model_of_this_service(
    ask: Ask, client: TestClient[Any, Any], upstream: Upstream
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
    client: TestClient[Any, Any], upstream: Upstream, behave: Any, status: int, code: str
) -> None:
    upstream.behave = behave
    for streamed in (False, True):
        response = await client.post(CHAT, json=asking("When?", model="cloud", stream=streamed))
        assert (response.status, (await response.json())["error"]["code"]) == (status, code)
        assert ("Retry-After" in response.headers) == (status in (429, 503))


async def test_garbage_in_the_middle_ends_the_stream_with_an_error_and_nobody_elses(
    client: TestClient[Any, Any], ask: Ask, upstream: Upstream
) -> None:
    upstream.behave = streaming(chunk({"role": "assistant", "content": "Six "}), b"garbage")
    response = await client.post(CHAT, json=asking("When?", model="cloud", stream=True))
    assert response.status == 200
    *_, last = (await response.text()).strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_failed"
    info = {model["name"]: model for model in (await ask("GET", "/v1/info"))["models"]}
    assert info["cloud"]["status"] == "stalled"
    assert (await ask("POST", CHAT, asking("say: on")))["choices"][0]["message"]["content"] == "on"
