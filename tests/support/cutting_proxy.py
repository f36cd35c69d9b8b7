"""A way to a PostgreSQL that is cut at a moment of the test's choosing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum


class Cut(Enum):
    """When the connection ends on which the next COMMIT is said."""

    NEVER = "never"
    BEFORE = "the server does not hear it"
    BEHIND = "the server does it, and is not heard"


class CuttingProxy:
    """Passes everything on, but for what ``cut`` and ``is_down`` say."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.cut = Cut.NEVER
        self.is_down = False
        # Also nobody gets through any more, once a connection was cut.
        self.stays_down = False
        # Where it is not set nothing comes through, and nobody is told.
        self.passes = asyncio.Event()
        self.passes.set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.close()
            return
        to_server, from_server = None, None
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
            back = asyncio.create_task(self._pass(from_server, writer))
            with suppress(ConnectionError):
                while data := await reader.read(65536):
                    await self.passes.wait()
                    if b"COMMIT" in data and self.cut is not Cut.NEVER:
                        await self._end(data, to_server, back)
                        break
                    to_server.write(data)
                    await to_server.drain()
            back.cancel()
            with suppress(asyncio.CancelledError):
                await back
        finally:
            for each in (to_server, writer):
                if each is not None:
                    each.close()

    async def _end(self, data: bytes, to_server: asyncio.StreamWriter, back: "asyncio.Task[None]") -> None:
        """The end of a connection on which a COMMIT was said."""
        back.cancel()
        with suppress(asyncio.CancelledError):
            await back
        if self.cut is Cut.BEHIND:
            to_server.write(data)
            await to_server.drain()
        self.cut = Cut.NEVER
        self.is_down = self.stays_down

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.passes.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def cutting_proxy(port: int) -> AsyncIterator[CuttingProxy]:
    """One before the server at ``port``."""
    proxy = CuttingProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        proxy.passes.set()
        server.close()
