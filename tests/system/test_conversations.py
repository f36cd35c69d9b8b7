"""Conversations and open WebSockets of a real service that is killed, and of one that is told to end."""

import asyncio
import json
import threading

import aiohttp
import httpx
from real_service import Launcher, Service

_FLAGS = ("--generator", "fake")
_WRITERS = 4
_ENOUGH = 60


def talk_until_killed(service: Service, id: str, name: str, kept: list[str], enough: threading.Event) -> None:
    """Adds messages and asks questions in turns, and notes what was acknowledged."""
    with service.client() as client:
        for number in range(10_000):
            content = f"{name} {number}"
            message = {"role": "user", "content": content}
            try:
                if number % 2:
                    body = {"conversation": id, "messages": [message]}
                    client.post("/v1/chat/completions", json=body).raise_for_status()
                else:
                    client.post(f"/v1/conversations/{id}/messages", json=message).raise_for_status()
            except httpx.TransportError:
                return
            kept.append(content)
            if len(kept) >= _ENOUGH:
                enough.set()


def test_a_kill_loses_no_message_that_was_acknowledged_and_halves_no_exchange(services: Launcher) -> None:
    service = services.launch(*_FLAGS, model="none")
    service.wait_until_started()
    with service.client() as client:
        id = client.post("/v1/conversations", json={}).json()["id"]
    kept: list[str] = []
    enough = threading.Event()
    writers = [
        threading.Thread(target=talk_until_killed, args=(service, id, f"writer-{n}", kept, enough))
        for n in range(_WRITERS)
    ]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    service.kill()
    for writer in writers:
        writer.join(60)
    again = services.launch(*_FLAGS, model="none", data=service.data)
    again.wait_until_started()
    with again.client() as client:
        messages = client.get(f"/v1/conversations/{id}/messages").json()["messages"]
    said = [message["content"] for message in messages if message["role"] == "user"]
    assert set(kept) <= set(said)
    assert len(said) == len(set(said))
    for place, message in enumerate(messages):
        is_asked = message["role"] == "user" and int(message["content"].split()[-1]) % 2
        assert not is_asked or messages[place + 1]["role"] == "assistant"


async def test_a_service_that_is_told_to_end_closes_its_connections(services: Launcher) -> None:
    service = services.launch(*_FLAGS, model="none")
    service.wait_until_started()
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{service.url}/v1/chat") as socket:
        frame = {"type": "ask", "id": "1", "messages": [{"role": "user", "content": "Hello."}]}
        await socket.send_json(frame)
        assert json.loads((await socket.receive(30)).data)["type"] == "chunk"
        status = asyncio.create_task(asyncio.to_thread(service.stop))
        async for _ in socket:
            pass
        assert socket.close_code == 1001
        assert await status == 0
    assert not service.events("request_failed")
