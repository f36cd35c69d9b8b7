"""What clients of OpenAI's routes send, and what they read of a stream."""

import json
from typing import Any

from aiohttp.test_utils import TestClient

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
TIDE = {"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "tide", "arguments": {"port": "Kiel"}}\n</tool_call>'


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def stream(client: TestClient[Any, Any], path: str, body: Any) -> list[Any]:
    """The events of the answer to ``body``, which ends with ``[DONE]``."""
    response = await client.post(path, json={**body, "stream": True})
    assert response.content_type == "text/event-stream", await response.text()
    lines = [line for line in (await response.text()).split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
