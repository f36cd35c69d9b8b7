"""Two services, one Redis server: a conversation is the same in both."""

from pathlib import Path
from typing import Any

from pytest_aiohttp import AiohttpClient

from api.app import build_app, open_services
from api.settings import load_settings

CHAT = "/v1/chat/completions"


async def test_a_conversation_goes_on_in_another_service(
    redis_url: str, tmp_path: Path, aiohttp_client: AiohttpClient
) -> None:
    flags: dict[str, Any] = {"model": "none", "generator": "fake", "conversations": redis_url}
    async with (
        open_services(load_settings({**flags, "data": tmp_path / "one"})) as one,
        open_services(load_settings({**flags, "data": tmp_path / "two"})) as two,
    ):
        first, second = await aiohttp_client(build_app(one)), await aiohttp_client(build_app(two))
        id = (await (await first.post("/v1/conversations", json={})).json())["id"]
        for number, client in enumerate((first, second)):
            messages = [{"role": "user", "content": f"question {number}"}]
            answer = await client.post(CHAT, json={"conversation": id, "messages": messages})
            assert answer.status == 200, await answer.text()
        kept = (await (await first.get(f"/v1/conversations/{id}/messages")).json())["messages"]
    assert [message["content"] for message in kept[::2]] == ["question 0", "question 1"]
