"""Server-sent events: one ``data:`` line per event, as the WHATWG HTML standard frames them.

A client that leaves cancels the handler, which closes the generator behind the stream.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog
from aiohttp import hdrs, web

from api.errors import refuse
from api.http.wire import encode_json

log = structlog.get_logger()

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
    async with aclosing(events) as source:
        first = await anext(source)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        await response.write(_frame(encode_json(first)))
        last = end
        try:
            async for event in source:
                await response.write(_frame(encode_json(event)))
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("stream_failed", path=request.path)
            last = encode_json(refuse(error).body())
        await response.write(_frame(last))
        await response.write_eof()
    return response


def _frame(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
