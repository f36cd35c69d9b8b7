"""The end of a service: requests that run are finished before their connections are closed.

aiohttp's own shutdown reads no more bytes from any connection, so a request whose body is still on its way
would never be answered. Here the running requests are waited for while everything still works.
"""

import asyncio
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler


class Drain:
    """Counts the requests that run; ``follow`` is its middleware, the outermost one."""

    def __init__(self) -> None:
        self._running = 0
        self._ending: asyncio.Event | None = None

    @web.middleware
    async def follow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._running += 1
        try:
            response = await handler(request)
        finally:
            self._running -= 1
            if self._ending is not None and not self._running:
                self._ending.set()
        if self._ending is not None and not response.prepared:
            response.force_close()  # a busy client must not keep the service from its end
        return response

    async def finish(self, timeout_s: float) -> None:
        """Return when no request runs, or after ``timeout_s``. Called once, when nobody listens any more."""
        self._ending = asyncio.Event()
        await asyncio.sleep(0)  # requests that have just arrived begin
        if self._running:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), timeout_s)
