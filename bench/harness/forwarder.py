"""A fixed address before a server that may change: what a service of Kubernetes, or a proxy, is to a database
whose primary is another one after a failover.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 65_536


class Forwarder:
    """Made by ``open_forwarder``; connections that are made from now on go to ``target``."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; without a server behind it, it ends at once."""
        try:
            there, away = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass(reader, away))
            group.create_task(_pass(there, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side ends; then the other side hears of it."""
    with suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def open_forwarder(target: int) -> AsyncIterator[Forwarder]:
    """One on a free loopback port, before the port ``target``."""
    forwarder = Forwarder(target)
    server = await asyncio.start_server(forwarder.serve, "127.0.0.1", 0)
    forwarder.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarder
    finally:
        server.close()
