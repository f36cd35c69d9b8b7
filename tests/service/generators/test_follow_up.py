"""Questions that go on from earlier ones, rewritten by the language model that answers them."""

import msgspec
import pytest
from asking import Ask
from chat_bodies import CHAT

from api.http.chat_question import read_question
from api.schemas_chat import ChatRequest
from api.security.identity import ANONYMOUS
from api.services.container import Services
from embedd.conversation import Turn
from embedd.errors import InvalidInput


def turns(*said: str) -> list[Turn]:
    return [Turn(("user", "assistant")[place % 2], content) for place, content in enumerate(said)]


async def test_the_model_rewrites_the_last_question_and_answers_it_as_it_was(
    services: Services, ask: Ask, docs: str
) -> None:
    """The fake model does as a line of its prompt says, and so it makes of a question what that says."""
    messages = [
        {"role": "user", "content": "Does a write survive?"},
        {"role": "assistant", "content": "It does."},
        {"role": "user", "content": "say: Which port does the service have?"},
    ]
    body = {"model": f"fake-llm@{docs}", "messages": messages}
    answer = await ask("POST", CHAT, body)
    assert answer["rewritten_query"] == "Which port does the service have?"
    first = await ask("POST", CHAT, body | {"messages": messages[-1:]})
    assert "rewritten_query" not in first


async def test_what_the_model_makes_of_it_is_used_if_it_is_a_question(services: Services) -> None:
    follow_ups = services.follow_ups
    kept = await follow_ups.rewrite("fake-llm", turns("Why?", "So.", "say: "))
    assert kept is None
    history = turns("Does a write survive?", "It does.", "say: Why does a write survive?")
    rewritten = await follow_ups.rewrite("fake-llm", history)
    assert rewritten is not None
    assert rewritten.text == "Why does a write survive?"
    assert rewritten.turns == tuple(history)


async def test_who_quotes_reads_the_question_with_its_terms(services: Services) -> None:
    rewritten = await services.follow_ups.rewrite(
        "extractive", turns("Does a write survive?", "It does.", "Why?")
    )
    assert rewritten is not None
    assert rewritten.turns[-1].content == rewritten.text == "Why? write survive"
    assert rewritten.turns[0].content == "Does a write survive?"


async def test_half_of_what_a_model_reads_is_kept_for_what_is_new(services: Services, ask: Ask) -> None:
    id = (await ask("POST", "/v1/conversations", {}, status=201))["id"]
    for number in range(8):
        message = {"role": ("user", "assistant")[number % 2], "content": f"{number} " + "word " * 400}
        await ask("POST", f"/v1/conversations/{id}/messages", message, status=201)
    left_out = []
    for model in ("fake-llm", "repeats"):
        body = {"model": model, "conversation": id, "messages": [{"role": "user", "content": "say: x"}]}
        request = msgspec.convert(body, ChatRequest)
        asked = await read_question(request, services, ANONYMOUS)
        assert asked.exchange is not None
        left_out.append(asked.exchange.left_out)
    assert left_out[0] > left_out[1]


async def test_a_model_that_cannot_rewrite_says_so(services: Services) -> None:
    with pytest.raises(InvalidInput):
        await services.follow_ups.rewrite("fake-llm", turns("Why?", "So.", "say: \ud800"))
