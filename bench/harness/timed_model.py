"""A model that takes the same time for every text, one request at a time: what a device is to a service,
without the processor that one would take. It speaks OpenAI's dialect, so each of many services can have one.
"""

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from aiohttp import web

NAME = "timed"


@asynccontextmanager
async def open_timed_model(text_s: float) -> AsyncIterator[str]:
    """The address of one that takes ``text_s`` seconds for a text."""
    turn = asyncio.Lock()

    async def embed(request: web.Request) -> web.Response:
        texts = (await request.json())["input"]
        async with turn:
            await asyncio.sleep(text_s * len(texts))
        rows = [{"index": place, "embedding": vector_of(text)} for place, text in enumerate(texts)]
        return web.json_response({"data": rows, "model": NAME})

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": NAME, "object": "model"}]})

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/embeddings", embed)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def vector_of(text: str) -> str:
    """Some numbers of the text, in base64: the same wherever it is asked."""
    numbers = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(8)
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()
