"""Generators elsewhere: passed through, retried before the first byte, and told by kind when they fail."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web
from fake_generators import asking, events_of, reason_of, text_of, usage_of
from fake_models import until
from upstreams import (
    Upstream,
    breaking_off,
    chunk,
    falling_silent,
    open_upstream,
    refusing,
    saying,
    streaming,
)

from embedd.conversation import Continuation, Prompt, Tool, ToolCall, ToolChoice, Tools, Turn
from embedd.errors import (
    ModelLoadError,
    Overloaded,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamUnavailable,
)
from embedd.generators import GenerationSettings, TokenLogprob, ToolCallPiece, Usage
from embedd.sampling import ResponseFormat, Sampling
from embedd.upstream.generator import UpstreamGenerator, open_upstream_generator
from embedd.upstream.specs import UpstreamLimits, UpstreamSpec, parse_upstream

LIMITS = UpstreamLimits(silence_s=0.3, pause_s=0.01, longest_pause_s=2.0)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with open_upstream() as upstream:
        yield upstream


@pytest.fixture
async def generator(upstream: Upstream) -> AsyncIterator[UpstreamGenerator]:
    spec = UpstreamSpec("cloud", "big-model", upstream.url, key="secret-key")
    async with open_upstream_generator(spec, LIMITS) as generator:
        yield generator


async def ask(generator: Any, prompt: Prompt | Continuation | None = None, **settings: Any) -> Any:
    return await events_of(generator, prompt or asking("When is flood?"), **settings)


async def test_an_answer_is_passed_on_with_its_usage(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    events = await ask(generator)
    assert (text_of(events), reason_of(events)) == ("Six o'clock.", "stop")
    assert usage_of(events) == Usage(7, 3, cached_tokens=4, accepted_tokens=2, rejected_tokens=1)
    (request,) = upstream.requests
    assert request == {
        "model": "big-model",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "When is flood?"}],
    }
    assert upstream.keys == ["Bearer secret-key"]
    assert generator.status.state == "ready"


async def test_settings_tools_and_formats_are_passed_on(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    call = ToolCall("call_1", "tide", '{"port": 1}')
    turns = (Turn("assistant", "", (call,)), Turn("tool", "6:00", tool_call_id="call_1"), Turn("user", "So?"))
    await ask(
        generator,
        Prompt(turns),
        sampling=Sampling(temperature=0.5, seed=1, logit_bias={5: -100.0}),
        max_tokens=9,
        stop=("END",),
        logprobs=2,
        response_format=ResponseFormat("json_schema", "port", {"type": "object"}, strict=True),
        tools=Tools((Tool("tide", "When", {"type": "object"}),), ToolChoice("required", "tide"), False),
    )
    (request,) = upstream.requests
    assert request["messages"][0]["tool_calls"][0]["function"] == {
        "name": "tide",
        "arguments": '{"port": 1}',
    }
    assert request["messages"][1]["tool_call_id"] == "call_1"
    expected = {
        "temperature": 0.5,
        "seed": 1,
        "logit_bias": {"5": -100.0},
        "max_tokens": 9,
        "stop": ["END"],
        "logprobs": True,
        "top_logprobs": 2,
        "tool_choice": {"type": "function", "function": {"name": "tide"}},
        "parallel_tool_calls": False,
    }
    assert expected.items() <= request.items()
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["tools"][0]["function"]["name"] == "tide"


async def test_tool_calls_and_log_probabilities_come_back_as_they_are(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    token = {"token": "x", "bytes": [120], "logprob": -0.5, "top_logprobs": []}
    upstream.behave = streaming(
        chunk({"role": "assistant", "content": "x"}, logprobs={"content": [token]}),
        chunk({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "tide", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, reason="tool_calls"),
    )
    events = await ask(generator)
    assert events[0].logprobs == (TokenLogprob("x", b"x", -0.5),)
    assert [piece for one in events for piece in one.tool_calls] == [
        ToolCallPiece(0, "1", "tide"),
        ToolCallPiece(0, arguments="{}"),
    ]
    assert reason_of(events) == "tool_calls"


async def test_choices_are_told_apart(upstream: Upstream, generator: UpstreamGenerator) -> None:
    upstream.behave = streaming(
        *(chunk({"content": f"choice {index}"}, index=index) for index in (1, 0)),
        *(chunk({}, index=index, reason="stop") for index in (0, 1)),
    )
    events = await ask(generator, n=2)
    assert [text_of(events, choice) for choice in range(2)] == ["choice 0", "choice 1"]
    assert upstream.requests[0]["n"] == 2


async def test_a_text_is_continued(upstream: Upstream, generator: UpstreamGenerator) -> None:
    told = {"tokens": ["x"], "token_logprobs": [-0.5], "top_logprobs": [{"x": -0.5, "y": -1.5}]}
    upstream.behave = streaming(
        {"choices": [{"index": 0, "text": "x", "logprobs": told, "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]},
    )
    events = await ask(generator, Continuation((1, 2)), logprobs=2)
    assert (text_of(events), reason_of(events)) == ("x", "length")
    assert [one.text for one in events[0].logprobs[0].best] == ["x", "y"]
    assert (upstream.paths, upstream.requests[0]["prompt"]) == (["/v1/completions"], [1, 2])


async def test_passages_are_laid_out_and_citations_bound(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    upstream.behave = saying("The moon pulls it [", "1], or not [2].")
    passages = ("The moon pulls the sea. Wind is air.",)
    events = await ask(generator, asking("Why?", passages=passages))
    quotes = [quote for one in events if not isinstance(one, Usage) for quote in one.quotes]
    assert [passages[0][quote.start : quote.end] for quote in quotes] == ["The moon pulls the sea."]
    system, user = upstream.requests[0]["messages"]
    assert system["role"] == "system"
    assert user["content"].endswith("Why?")
    assert passages[0] in user["content"]


@pytest.mark.parametrize("status", [429, 502, 503])
async def test_what_passes_is_tried_again(
    upstream: Upstream, generator: UpstreamGenerator, status: int
) -> None:
    upstream.next = [refusing(status), refusing(status)]
    assert text_of(await ask(generator)) == "Six o'clock."
    assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UpstreamRefused),
        (404, UpstreamRefused),
        (401, UpstreamFailed),
        (403, UpstreamFailed),
        (500, UpstreamFailed),
        (302, UpstreamFailed),
    ],
)
async def test_what_stays_is_told_at_once_and_by_its_kind(
    upstream: Upstream, generator: UpstreamGenerator, status: int, kind: type[Exception]
) -> None:
    upstream.behave = refusing(status, "no such model", Location="http://127.0.0.1:9/")
    with pytest.raises(kind, match=rf"'cloud'.*{status}") as refusal:
        await ask(generator)
    assert "secret" not in str(refusal.value)
    assert len(upstream.requests) == 1


async def test_an_overloaded_upstream_says_when_to_come_back(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    upstream.behave = refusing(429, "slow down", **{"Retry-After": "30"})
    with pytest.raises(Overloaded, match="slow down") as refusal:
        await ask(generator)
    assert refusal.value.retry_after_s == 30
    assert len(upstream.requests) == 1, "nobody waits for so long"
    upstream.behave = refusing(503, "loading")
    with pytest.raises(UpstreamUnavailable, match="loading"):
        await ask(generator)


async def test_an_upstream_that_is_down_is_unavailable_until_it_is_back(upstream: Upstream) -> None:
    spec = UpstreamSpec("cloud", "m", "http://127.0.0.1:9/v1")
    async with open_upstream_generator(spec, LIMITS) as generator:
        with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
            await ask(generator)
        assert generator.status.state == "stalled"
        assert "cannot be reached" in generator.status.reason


async def test_an_upstream_that_breaks_off_is_not_asked_again(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    for behave in (breaking_off("Six "), streaming(chunk({"content": "Six "})), streaming(done=False)):
        upstream.behave = behave
        with pytest.raises(UpstreamFailed, match="broke off"):
            await ask(generator)
    assert len(upstream.requests) == 3


async def test_silence_before_and_within_an_answer_ends_it(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    for words in ((), ("Six ",)):
        upstream.behave = falling_silent(*words)
        with pytest.raises(UpstreamTimedOut, match=r"0\.3 s"):
            await ask(generator)
    upstream.behave = None
    assert text_of(await ask(generator)) == "Six o'clock."
    assert generator.status.state == "ready"


@pytest.mark.parametrize(
    "garbage",
    [b"{", b"\xff\xfe", b"[]", b'{"choices": 7}', b'{"choices": [{"delta": {"content": 7}}]}'],
)
async def test_garbage_in_the_middle_ends_the_answer_with_a_reason(
    upstream: Upstream, generator: UpstreamGenerator, garbage: bytes
) -> None:
    upstream.behave = streaming(chunk({"content": "Six "}), garbage)
    with pytest.raises(UpstreamFailed, match="no chunk of a chat"):
        await ask(generator)


async def test_an_error_in_the_stream_is_told_in_its_words(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    upstream.behave = streaming(chunk({"content": "Six "}), {"error": {"message": "out of memory"}})
    with pytest.raises(UpstreamFailed, match="out of memory"):
        await ask(generator)


async def test_an_answer_that_is_no_stream_is_told_so(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<h1>Welcome</h1>", content_type="text/html")

    upstream.behave = page
    with pytest.raises(UpstreamFailed, match="text/html"):
        await ask(generator)


async def test_streams_are_read_in_all_the_ways_they_are_written(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    async def dribble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        first, last = json.dumps(chunk({"content": "é"}, reason="stop"), ensure_ascii=False), "[DONE]"
        for byte in f": hello\r\n\r\nevent: x\r\ndata:{first}\r\n\r\ndata: {last}".encode():
            await response.write(bytes([byte]))
        return response

    upstream.behave = dribble
    assert text_of(await ask(generator)) == "é"


async def test_whoever_leaves_ends_the_upstreams_work(
    upstream: Upstream, generator: UpstreamGenerator
) -> None:
    upstream.behave = falling_silent("Six ")
    async with aclosing(generator.generate(asking("?"), GenerationSettings())) as events:
        await anext(events)
    await until(lambda: upstream.left)


@pytest.mark.parametrize(
    ("text", "model", "url"),
    [
        ("openai:gpt-4o-mini@https://api.openai.com/v1/", "gpt-4o-mini", "https://api.openai.com/v1"),
        ("openai:org/m@main@http://[::1]:8000/v1", "org/m@main", "http://[::1]:8000/v1"),
    ],
)
def test_a_spec_has_a_model_and_an_address(text: str, model: str, url: str) -> None:
    spec = parse_upstream(text, key="secret")
    assert (spec.model, spec.base_url, spec.name) == (model, url, model)
    assert "secret" not in repr(spec)


@pytest.mark.parametrize(
    "text",
    [
        "openai:",
        "openai:m",
        "openai:@http://h/v1",
        "openai:m@ftp://h",
        "openai:m@http://",
        "openai:m@http://user:password@h/v1",
        "openai:m@http://h:0/v1",
        "openai:m@http://h:x/v1",
        "openai:m@http://h/v1?key=1",
    ],
)
def test_a_spec_without_them_is_refused(text: str) -> None:
    with pytest.raises(ModelLoadError, match="names a model and an address"):
        parse_upstream(text)
