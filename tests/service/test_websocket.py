"""GET /v1/chat: questions, stops and resumptions over WebSocket, and what makes no sense."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from api.app import build_app, open_services
from api.http import websocket
from api.http.handlers import chat_socket
from api.services import live_answers
from api.services.answer import Answerer, AnswerEvent, Finished, Question
from api.services.container import Services
from api.settings import Settings, load_settings
from embedd.generators import Delta, Usage

Client = TestClient[Any, Any]
ID = "an id that nobody guesses"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data": tmp_path / "data", "model": "none", "generator": "fake", "port": 0})


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings) as services:
        yield services


@pytest.fixture
async def client(services: Services, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(build_app(services), server_kwargs={"handler_cancellation": True})


class Paced:
    """Answers a word whenever it is told to; the word is the question and a number."""

    def __init__(self) -> None:
        self.steps: defaultdict[str, asyncio.Queue[bool]] = defaultdict(asyncio.Queue)
        self.stopped = asyncio.Event()

    async def answer(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        word, number = question.turns[-1].content, 0
        try:
            yield Delta("")
            while await self.steps[word].get():
                yield Delta(f"{word}{number} ")
                number += 1
            yield Delta(finish_reason="stop")
            yield Finished((), Usage(1, 1))
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped.set()
            raise

    def say(self, words: int, word: str = "w", *, end: bool = False) -> None:
        for _ in range(words):
            self.steps[word].put_nowait(True)
        if end:
            self.steps[word].put_nowait(False)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> Paced:
    paced = Paced()
    monkeypatch.setattr(Answerer, "answer", lambda _, question: paced.answer(question))
    return paced


def ask_frame(id: str, content: str = "w", **more: Any) -> dict[str, Any]:
    return {"type": "ask", "id": id, "messages": [{"role": "user", "content": content}], **more}


async def next_frame(socket: ClientWebSocketResponse) -> dict[str, Any]:
    message = await socket.receive(10)
    assert message.type is WSMsgType.TEXT, message
    frame: dict[str, Any] = json.loads(message.data)
    return frame


async def until_end(socket: ClientWebSocketResponse) -> list[dict[str, Any]]:
    frames = [await next_frame(socket)]
    while frames[-1]["type"] == "chunk":
        frames.append(await next_frame(socket))
    return frames


def words(frames: list[dict[str, Any]]) -> str:
    chunks = [frame["data"] for frame in frames if frame["type"] == "chunk"]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


async def test_a_question_is_answered_in_the_chunks_of_a_stream(client: Client) -> None:
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json(ask_frame("1", "Hello there."))
        frames = await until_end(socket)
    body = ask_frame("", "Hello there.", stream=True)
    text = await (await client.post("/v1/chat/completions", json=body)).text()
    chunks = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    assert frames[-1] == {"type": "done", "id": "1"}
    assert [frame["n"] for frame in frames[:-1]] == list(range(len(frames) - 1))
    sent = [frame["data"] for frame in frames[:-1]]
    assert [chunk["choices"] for chunk in sent] == [chunk["choices"] for chunk in chunks]


async def test_several_questions_are_answered_side_by_side(client: Client, paced: Paced) -> None:
    async with client.ws_connect("/v1/chat") as socket:
        for id in ("a", "b"):
            await socket.send_json(ask_frame(id, id))
        openings = [await next_frame(socket), await next_frame(socket)]
        assert {frame["id"] for frame in openings} == {"a", "b"}
        for word in ("b", "a", "b"):
            paced.say(1, word)
            assert (await next_frame(socket))["id"] == word


async def test_a_stop_ends_the_answer_and_keeps_what_was_said(client: Client, paced: Paced) -> None:
    conversation = (await (await client.post("/v1/conversations", json={})).json())["id"]
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json(ask_frame("a", conversation=conversation))
        paced.say(1)
        said = [await next_frame(socket), await next_frame(socket)]
        await socket.send_json({"type": "stop", "id": "a"})
        assert await next_frame(socket) == {"type": "done", "id": "a", "stopped": True}
        assert paced.stopped.is_set()
        answer = await client.get(f"/v1/conversations/{conversation}/messages")
        kept = (await answer.json())["messages"][-1]
        assert (kept["content"], kept["finish_reason"]) == (words(said), "cancelled")
        await socket.send_json(ask_frame("a"))
        assert (await next_frame(socket))["type"] == "chunk", "the id is free again"


async def test_an_answer_is_taken_up_where_it_was_lost(client: Client, paced: Paced) -> None:
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json(ask_frame(ID))
        paced.say(2)
        lost = [await next_frame(socket) for _ in range(3)]
    paced.say(2, end=True)
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json({"type": "resume", "id": ID, "after": lost[1]["n"]})
        rest = await until_end(socket)
        assert rest[0] == lost[2]
        assert words(lost[:2] + rest) == "w0 w1 w2 w3 "
        assert rest[-1]["type"] == "done"
        await socket.send_json({"type": "resume", "id": ID})
        assert words(await until_end(socket)) == "w0 w1 w2 w3 ", (
            "an answer that has ended is there for a while"
        )


async def test_who_takes_an_answer_up_takes_it_over(client: Client, paced: Paced) -> None:
    async with client.ws_connect("/v1/chat") as first, client.ws_connect("/v1/chat") as second:
        await first.send_json(ask_frame(ID))
        assert (await next_frame(first))["n"] == 0
        await second.send_json({"type": "resume", "id": ID, "after": 0})
        await second.send_json(ask_frame("other", "x"))
        assert (await next_frame(second))["id"] == "other"
        paced.say(1)
        assert words([frame := await next_frame(second)]) == "w0 "
        assert (frame["id"], frame["n"]) == (ID, 1)
        await first.send_json({"type": "stop", "id": ID})
        assert (await next_frame(first))["error"]["code"] == "answer_not_found"


async def test_what_nobody_takes_up_in_time_is_stopped(
    client: Client, services: Services, paced: Paced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.live_answers, "_grace_s", 0.0)
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json(ask_frame(ID))
        await next_frame(socket)
    await asyncio.wait_for(paced.stopped.wait(), 10)
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json({"type": "resume", "id": ID, "after": 0})
        assert (await next_frame(socket))["error"]["code"] == "answer_not_found"


async def test_an_id_that_could_be_guessed_is_nobody_elses(client: Client, paced: Paced) -> None:
    async with client.ws_connect("/v1/chat") as first, client.ws_connect("/v1/chat") as second:
        for socket in (first, second):
            await socket.send_json(ask_frame("1"))
            assert (await next_frame(socket))["n"] == 0
        await second.send_json({"type": "stop", "id": "1"})
        assert (await next_frame(second))["type"] == "done"
        async with client.ws_connect("/v1/chat") as third:
            await third.send_json({"type": "resume", "id": "1"})
            assert (await next_frame(third))["error"]["code"] == "answer_not_found"
        paced.say(1)
        assert words([await next_frame(first)]) == "w0 "


GARBAGE: list[Any] = [
    "",
    "{",
    "[]",
    "null",
    b"\x00\xff",
    '{"type": "dance"}',
    '{"id": "x"}',
    '{"type": "ask", "id": ""}',
    '{"type": "ask", "id": "x"}',
    '{"type": "ask", "id": "x", "messages": []}',
    '{"type": "ask", "id": "x", "messages": [{"role": "user"}]}',
    '{"type": "ask", "id": "x", "conversation": "gone", "messages": [{"role": "user", "content": "x"}]}',
    '{"type": "stop"}',
    '{"type": "stop", "id": "x"}',
    '{"type": "stop", "id": "x", "unknown": 1}',
    '{"type": "resume", "id": "x", "after": -2}',
    '{"type": "resume", "id": "x", "after": 1e99}',
    "[" * 100_000,
]


async def test_garbage_gets_an_error_frame_and_disturbs_nothing(client: Client, paced: Paced) -> None:
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json(ask_frame("good"))
        await next_frame(socket)
        for garbage in GARBAGE:
            await (socket.send_bytes(garbage) if isinstance(garbage, bytes) else socket.send_str(garbage))
            frame = await next_frame(socket)
            assert frame["type"] == "error", garbage
            assert frame["error"]["message"]
            assert frame.get("id") == (
                "x" if '"x"' in str(garbage) and "id" in str(garbage) else frame.get("id")
            )
        paced.say(1, end=True)
        assert words(await until_end(socket)) == "w0 "


async def test_limits_hold_and_say_so(client: Client, paced: Paced, monkeypatch: pytest.MonkeyPatch) -> None:
    async with client.ws_connect("/v1/chat") as socket:
        for number in range(websocket.MOST_ASKS):
            await socket.send_json(ask_frame(str(number)))
            await next_frame(socket)
        for frame in (ask_frame("one more"), {"type": "resume", "id": ID}):
            await socket.send_json(frame)
            assert (await next_frame(socket))["error"]["code"] == "overloaded"
        await socket.send_json(ask_frame("0"))
        assert (await next_frame(socket))["error"]["code"] == "id_in_use"
        monkeypatch.setattr(live_answers, "MOST_ANSWERS", websocket.MOST_ASKS)
        async with client.ws_connect("/v1/chat") as other:
            await other.send_json(ask_frame("1"))
            assert (await next_frame(other))["error"]["code"] == "overloaded"
        with suppress(ConnectionError):  # it may be closed before it has all
            await socket.send_str("x" * (chat_socket.MOST_BYTES + 1))
        assert (await socket.receive(10)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)


async def test_answers_that_ended_first_are_forgotten_where_many_are_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_answers, "MOST_KEPT", 2)
    async with client.ws_connect("/v1/chat") as socket:
        for number in range(3):
            await socket.send_json(ask_frame(f"{ID} {number}"))
            await until_end(socket)
        ends = []
        for number in range(3):
            await socket.send_json({"type": "resume", "id": f"{ID} {number}"})
            ends.append((await until_end(socket))[-1]["type"])
    assert ends == ["error", "done", "done"]


async def test_a_stop_before_the_first_word_keeps_the_question(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def answer(self: Answerer, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        begun.set()
        await asyncio.Event().wait()
        yield Delta("never")

    monkeypatch.setattr(Answerer, "answer", answer)
    id = (await (await client.post("/v1/conversations", json={})).json())["id"]
    async with client.ws_connect("/v1/chat") as socket:
        await socket.send_json(ask_frame("a", conversation=id))
        await begun.wait()
        await socket.send_json({"type": "stop", "id": "a"})
        assert (await next_frame(socket))["stopped"]
    kept = (await (await client.get(f"/v1/conversations/{id}/messages")).json())["messages"]
    assert [(message["role"], message["content"]) for message in kept] == [("user", "w"), ("assistant", "")]


async def test_pages_from_elsewhere_may_not_talk_to_this_service(client: Client, services: Services) -> None:
    own = f"http://127.0.0.1:{client.port}"
    for headers in ({}, {"Origin": own}):
        async with client.ws_connect("/v1/chat", headers=headers):
            pass
    rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
        {"Origin": f"http://127.0.0.1:{client.port}.evil.example"},
        rebound,
    ):
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect("/v1/chat", headers=headers)
        assert refused.value.status == 403
    plain = await client.get("/v1/chat")
    assert plain.status == 400


async def test_a_service_that_ends_lets_answers_end_and_takes_no_new_ones(
    client: Client, services: Services, paced: Paced
) -> None:
    async with client.ws_connect("/v1/chat") as busy, client.ws_connect("/v1/chat") as idle:
        await busy.send_json(ask_frame("a"))
        await next_frame(busy)
        services.live_answers.close()
        assert (await idle.receive(10)).type is WSMsgType.CLOSE
        await busy.send_json(ask_frame("b"))
        assert (await next_frame(busy))["error"]["code"] == "model_unavailable"
        paced.say(1, end=True)
        assert words(await until_end(busy)) == "w0 "
        assert (await busy.receive(10)).type is WSMsgType.CLOSE
        assert busy.close_code == 1001
