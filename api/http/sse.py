"""Server-sent events: one ``data:`` line per event, as the WHATWG HTML standard frames them.

A client that leaves cancels the handler, which closes the generator behind the stream.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, Final

import structlog
from aiohttp import hdrs, web

from api.errors import refuse
from api.http.wire import encode_json

log = structlog.get_logger()

DONE = b"[DONE]"
"""How streams in OpenAI's shape end."""

EVENT_PERIOD_S: Final = 0.25
"""Between two looks at what is watched and tells nobody by itself; a look costs next to nothing."""

_HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-cache",
    "X-Accel-Buffering": "no",  # nginx would hold the stream back
}


async def stream_events(
    request: web.Request, events: AsyncGenerator[Any, None], *, end: bytes
) -> web.StreamResponse:
    """Send each event as JSON, then ``end``.

    The first event is awaited before the headers go out, so that what fails at once still gets its status;
    what fails later ends the stream with the error envelope as its last event.
    """
    async with aclosing(_frames(events, end)) as frames:
        first = await anext(frames)
        response = web.StreamResponse(headers=_HEADERS)
        with suppress(ConnectionError):  # the client left: nobody is there to hear of it
            await response.prepare(request)
            await response.write(first)
            async for frame in frames:
                await response.write(frame)
            await response.write_eof()
    return response


async def _frames(events: AsyncGenerator[Any, None], end: bytes) -> AsyncGenerator[bytes, None]:
    async with aclosing(events) as source:
        yield _frame(encode_json(await anext(source)))
        last = end
        try:
            async for event in source:
                yield _frame(encode_json(event))
        except Exception as error:
            refusal = refuse(error)
            log.warning("stream_failed", reason=refusal.message, exc_info=not refusal.expected)
            last = encode_json(refusal.body())
        yield _frame(last)


def _frame(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
