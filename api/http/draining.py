"""The end of a service: requests that run are finished before their connections are closed.

aiohttp's own shutdown reads no more bytes from any connection, so a request whose body is still on its way
would never be answered. Here the running requests are waited for while everything still works.
"""

import asyncio
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler

_MOMENT_S = 0.1
"""What a client may take from its connection to its request."""


class Drain:
    """Counts the requests that run; ``follow`` is its middleware, the outermost one."""

    def __init__(self) -> None:
        self._running = self._begun = 0
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._is_ending = False

    @web.middleware
    async def follow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._running += 1
        self._begun += 1
        self._at_rest.clear()
        try:
            response = await handler(request)
        finally:
            self._running -= 1
            if not self._running:
                self._at_rest.set()
        if self._is_ending and not response.prepared:
            response.force_close()  # a busy client must not keep the service from its end
        return response

    async def finish(self, timeout_s: float) -> None:
        """Return when no request runs and for a moment none has begun, or after ``timeout_s``. Called once,
        when nobody listens any more.
        """
        self._is_ending = True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rest()

    async def _rest(self) -> None:
        while True:
            await self._at_rest.wait()
            begun = self._begun
            await asyncio.sleep(_MOMENT_S)
            if self._at_rest.is_set() and begun == self._begun:
                return
