"""Conversations over HTTP: what was said goes along, and what is said is kept."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask
from pytest_aiohttp import AiohttpClient

from api.app import build_app, open_services
from api.conversations.records import Message
from api.http.chat_question import read_question
from api.http.handlers.chat import chunks
from api.schemas_chat import ChatMessage, ChatRequest, Retrieval
from api.security.identity import ANONYMOUS
from api.services.answer import Answerer, AnswerEvent, Question
from api.services.container import Services
from api.settings import load_settings
from embedd.generators import Delta
from index.errors import StorageFailed

PATH = "/v1/conversations"
CHAT = "/v1/chat/completions"


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.fixture
async def talk(ask: Ask, docs: str) -> str:
    """A conversation with the documents, by its id."""
    retrieval = {"collection": docs, "min_evidence": 0}  # the fake model's vectors are none
    body = {"title": "Ports", "model": "extractive", "retrieval": retrieval, "metadata": {"a": 1}}
    return (await ask("POST", PATH, body, status=201))["id"]


async def said(ask: Ask, id: str) -> list[tuple[str, str]]:
    messages = (await ask("GET", f"{PATH}/{id}/messages"))["messages"]
    return [(message["role"], message["content"]) for message in messages]


async def test_a_conversation_is_begun_listed_read_and_deleted(ask: Ask) -> None:
    made = [await ask("POST", PATH, {"title": str(n)}, status=201) for n in range(3)]
    first = await ask("GET", f"{PATH}?limit=2")
    rest = await ask("GET", f"{PATH}?limit=2&cursor={first['next_cursor']}")
    assert [*first["conversations"], *rest["conversations"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert await ask("GET", f"{PATH}/{made[0]['id']}") == made[0]
    assert await ask("DELETE", f"{PATH}/{made[0]['id']}") == {"deleted": 1}
    assert await ask("DELETE", f"{PATH}/{made[0]['id']}") == {"deleted": 0}
    for method, path in (("GET", ""), ("GET", "/messages"), ("POST", "/messages")):
        body = {"role": "user", "content": "x"} if method == "POST" else None
        answer = await ask(method, f"{PATH}/{made[0]['id']}{path}", body, status=404)
        assert answer["error"]["code"] == "conversation_not_found"


async def test_what_was_sent_and_the_answer_are_kept_plain_and_streamed(
    client: TestClient[Any, Any], ask: Ask, talk: str
) -> None:
    body = {"conversation": talk, "messages": [user("Which port does the service listen on?")]}
    plain = await ask("POST", CHAT, body)
    assert plain["conversation"] == {"id": talk, "left_out": 0}
    assert plain["model"] == "extractive"
    text = await (await client.post(CHAT, json=body | {"stream": True})).text()
    chunks = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    assert chunks[0]["conversation"] == {"id": talk, "left_out": 0}
    messages = (await ask("GET", f"{PATH}/{talk}/messages"))["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    for answer in messages[1::2]:
        assert answer["content"] == plain["choices"][0]["message"]["content"]
        assert answer["sources"] == plain["sources"]
        assert answer["finish_reason"] == "stop"
    assert (await ask("GET", f"{PATH}/{talk}"))["messages"] == 4


async def test_a_message_can_be_added_without_an_answer(ask: Ask, talk: str) -> None:
    added = await ask("POST", f"{PATH}/{talk}/messages", user("Remember the tides."), status=201)
    assert (await ask("GET", f"{PATH}/{talk}/messages"))["messages"] == [added]


async def test_a_question_that_goes_on_is_searched_for_in_full_and_kept_as_it_was(
    ask: Ask, talk: str
) -> None:
    await ask("POST", CHAT, {"conversation": talk, "messages": [user("Does an acknowledged write survive?")]})
    answer = await ask("POST", CHAT, {"conversation": talk, "messages": [user("And why is it so?")]})
    assert answer["rewritten_query"] == "And why is it so? acknowledged write survive"
    assert answer["sources"][0]["document_id"] == "kill"
    assert (await said(ask, talk))[2] == ("user", "And why is it so?")
    whole = {"collection": "docs", "rewrite": False}
    body = {"conversation": talk, "messages": [user("And why is it so?")], "retrieval": whole}
    assert "rewritten_query" not in await ask("POST", CHAT, body)


async def test_the_history_that_does_not_fit_is_left_out_and_counted(
    tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    flags = {"data": tmp_path, "model": "none", "generator": "fake", "conversation_tokens": 8}
    async with open_services(load_settings(flags)) as services:
        client = await aiohttp_client(build_app(services))
        id = (await (await client.post(PATH, json={})).json())["id"]
        sent = [{"role": "system", "content": "one two three four five six seven eight nine"}, user("a b c")]
        left_out = []
        for messages in (sent, [user("d e f")], [user("g h i")]):
            answer = await client.post(CHAT, json={"conversation": id, "messages": messages})
            left_out.append((await answer.json())["conversation"]["left_out"])
        request = ChatRequest(messages=[ChatMessage("user", "j")], conversation=id)
        asked = await read_question(request, services, ANONYMOUS)
    assert left_out[0] == 0
    assert left_out[2] > 0
    assert asked.exchange is not None
    turns = asked.question.turns
    assert turns[0].role == "system"
    assert turns[1].role == "user"
    assert asked.exchange.left_out == 6 - len(turns[1:-1])


async def test_the_newest_system_message_counts_and_is_kept_once(services: Services, ask: Ask) -> None:
    id = (await ask("POST", PATH, {}, status=201))["id"]
    for role, content in (("system", "Be brief."), ("user", "Hello."), ("assistant", "Hi.")):
        await ask("POST", f"{PATH}/{id}/messages", {"role": role, "content": content}, status=201)
    asked = await read_question(
        ChatRequest(messages=[ChatMessage("user", "Who?")], conversation=id), services, ANONYMOUS
    )
    assert [turn.content for turn in asked.question.turns] == ["Be brief.", "Hello.", "Hi.", "Who?"]
    again = [ChatMessage("developer", "Be brief."), ChatMessage("user", "Who?")]
    asked = await read_question(ChatRequest(messages=again, conversation=id), services, ANONYMOUS)
    assert asked.exchange is not None
    assert [turn.content for turn in asked.exchange.sent] == ["Who?"]
    other = [ChatMessage("system", "Be long."), ChatMessage("user", "Who?")]
    asked = await read_question(ChatRequest(messages=other, conversation=id), services, ANONYMOUS)
    assert [turn.content for turn in asked.question.turns] == ["Be long.", "Hello.", "Hi.", "Who?"]


async def test_the_tags_of_a_conversation_hold_unless_the_request_has_its_own(
    services: Services, ask: Ask, docs: str
) -> None:
    kept = {"collection": docs, "acl": ["sea"], "k": 3}
    id = (await ask("POST", PATH, {"retrieval": kept}, status=201))["id"]
    question = [ChatMessage("user", "Which port?")]
    for request, acl in (
        (ChatRequest(messages=question), ["sea"]),
        (ChatRequest(messages=question, model=f"extractive@{docs}"), ["sea"]),
        (ChatRequest(messages=question, retrieval=Retrieval(docs)), ["sea"]),
        (ChatRequest(messages=question, retrieval=Retrieval(docs, acl=[])), []),
    ):
        request.conversation = id
        scope = (await read_question(request, services, ANONYMOUS)).question.scope
        assert scope is not None
        assert scope.acl == acl


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Answers that go on until they are stopped; set when one was."""
    stopped = asyncio.Event()

    async def answer(self: Answerer, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        try:
            while True:
                yield Delta("word ")
                await asyncio.sleep(0)
        finally:
            stopped.set()

    monkeypatch.setattr(Answerer, "answer", answer)
    return stopped


async def test_an_answer_that_is_stopped_is_kept_as_far_as_it_came(
    client: TestClient[Any, Any], services: Services, ask: Ask, talk: str, endless: asyncio.Event
) -> None:
    asked = await read_question(
        ChatRequest(messages=[ChatMessage("user", "x?")], conversation=talk), services, ANONYMOUS
    )
    stream = chunks(services, asked)
    for _ in range(3):
        await anext(stream)
    await stream.aclose()
    assert endless.is_set()
    [question, answer] = (await ask("GET", f"{PATH}/{talk}/messages"))["messages"]
    assert question["content"] == "x?"
    assert answer["content"] == "word word "
    assert answer["finish_reason"] == "cancelled"


@pytest.mark.usefixtures("endless")
async def test_a_client_that_leaves_a_stream_leaves_the_answer_kept(
    client: TestClient[Any, Any],
    services: Services,
    ask: Ask,
    talk: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, append = asyncio.Event(), services.conversations.store.append

    async def append_and_tell(id: str, messages: Sequence[Message]) -> None:
        await append(id, messages)
        kept.set()

    monkeypatch.setattr(services.conversations.store, "append", append_and_tell)
    body = {"conversation": talk, "messages": [user("x?")], "stream": True}
    response = await client.post(CHAT, json=body)
    await response.content.readany()
    response.close()
    await kept.wait()
    assert [role for role, _ in await said(ask, talk)] == ["user", "assistant"]


async def test_what_failed_or_was_refused_is_not_kept(
    ask: Ask, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask("POST", CHAT, {"conversation": talk, "messages": [user("x?")], "n": 2}, status=400)
    assert await said(ask, talk) == []

    async def answer(self: Answerer, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        yield Delta("word ")
        raise StorageFailed("the disk is gone")

    monkeypatch.setattr(Answerer, "answer", answer)
    await ask("POST", CHAT, {"conversation": talk, "messages": [user("x?")]}, status=503)
    assert await said(ask, talk) == []


async def test_a_conversation_that_is_deleted_meanwhile_takes_no_answer_with_it(
    services: Services, ask: Ask, talk: str
) -> None:
    asked = await read_question(
        ChatRequest(messages=[ChatMessage("user", "Which port?")], conversation=talk), services, ANONYMOUS
    )
    await ask("DELETE", f"{PATH}/{talk}")
    assert [chunk async for chunk in chunks(services, asked)][-1].choices[0].finish_reason == "stop"


async def test_what_makes_no_sense_is_refused(ask: Ask, talk: str) -> None:
    messages = [user("x")]
    await ask("POST", CHAT, {"conversation": "nobody", "messages": messages}, status=404)
    await ask("POST", CHAT, {"conversation": talk, "messages": []}, status=400)
    call = {"role": "tool", "tool_call_id": "1", "content": "x"}
    await ask("POST", CHAT, {"conversation": talk, "messages": [call]}, status=400)
    for body in ({"title": 1}, {"unknown": 1}, {"retrieval": {}}, {"metadata": {"n": 2**64}}):
        await ask("POST", PATH, body, status=422)
    for body in ({"role": "robot", "content": "x"}, {"role": "user"}, {"role": "user", "content": None}):
        await ask("POST", f"{PATH}/{talk}/messages", body, status=422)
    for query in ("limit=0", "limit=x", "after=x"):
        await ask("GET", f"{PATH}?{query}", status=422)
    gone = {"retrieval": {"collection": "gone"}}
    id = (await ask("POST", PATH, gone, status=201))["id"]
    answer = await ask("POST", CHAT, {"conversation": id, "messages": messages}, status=404)
    assert answer["error"]["code"] == "collection_not_found"
