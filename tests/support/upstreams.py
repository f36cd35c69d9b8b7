"""An OpenAI-compatible service that misbehaves on demand: a real server on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Behave = Callable[[web.Request], Awaitable[web.StreamResponse]]

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "total_tokens": 10,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"accepted_prediction_tokens": 2, "rejected_prediction_tokens": 1},
}


@dataclass
class Upstream:
    """``requests`` has every body that came, ``keys`` their Authorization, ``traces`` their traceparent;
    ``next`` says how to answer the next ones, one each, and ``behave`` all others. ``left`` counts clients
    that went away in the middle.
    """

    url: str = ""
    requests: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)
    next: list[Behave] = field(default_factory=list)
    behave: Behave | None = None
    left: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("Authorization"))
        self.paths.append(request.path)
        self.traces.append(request.headers.get("traceparent"))
        behave = self.next.pop(0) if self.next else self.behave or saying("Six ", "o'clock.")
        try:
            return await behave(request)
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
            raise


@asynccontextmanager
async def open_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_post("/v1/{path:.*}", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    upstream.url = f"http://{host}:{port}/v1"
    try:
        yield upstream
    finally:
        await runner.cleanup()


def chunk(delta: Any, *, index: int = 0, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason, **more}
    return {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def streaming(*events: Any, done: bool = True, lines: str = "\n") -> Behave:
    """Those events, JSON or bytes as they are, then ``[DONE]``."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for event in events:
            data = event if isinstance(event, bytes) else json.dumps(event).encode()
            await response.write(b"data: " + data + 2 * lines.encode())
        if done:
            await response.write(b"data: [DONE]" + 2 * lines.encode())
        return response

    return behave


def saying(*words: str) -> Behave:
    """A whole answer of these words, with usage."""
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words)]
    return streaming(*chunks, chunk({}, reason="stop"), {"choices": [], "usage": USAGE})


def refusing(status: int, message: str = "no", **headers: str) -> Behave:
    async def behave(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": message}}, status=status, headers=headers)

    return behave


async def _begin(request: web.Request, words: Sequence[str]) -> web.StreamResponse:
    """A stream with these words, and no end."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in words:
        await response.write(b"data: " + json.dumps(chunk({"content": word})).encode() + b"\n\n")
    return response


def breaking_off(*words: str) -> Behave:
    """These words, and then the connection is gone."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = await _begin(request, words)
        assert request.transport is not None
        request.transport.abort()
        return response

    return behave


def falling_silent(*words: str) -> Behave:
    """These words, and then nothing, for ever."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = await _begin(request, words)
        await asyncio.Event().wait()
        return response

    return behave
