"""Where a service takes connections, until it closes the door behind the last one that came in time.

The system takes connections before the service does. Closing a listening socket resets those that wait in
its queue, whose clients have sent their requests already: here the queue is emptied first.
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from ssl import SSLContext
from typing import Any

from aiohttp import web

_BACKLOG = 128


class Listener:
    """Takes connections for ``runner`` until it is closed."""

    def __init__(
        self,
        runner: web.AppRunner,
        sites: Sequence[web.SockSite],
        queues: Sequence[socket.socket],
        tls: SSLContext | None,
    ) -> None:
        self._runner = runner
        self._sites = list(sites)
        self._queues = queues
        self._tls = tls

    async def renew(self, tls: SSLContext) -> None:
        """Encrypt as ``tls`` says what is taken from now on; nobody who comes meanwhile is refused."""
        self._tls = tls
        before, self._sites = (
            self._sites,
            [web.SockSite(self._runner, queue.dup(), ssl_context=tls) for queue in self._queues],
        )
        for site in self._sites:
            await site.start()
        for site in before:
            await site.stop()

    async def close(self) -> None:
        """Take those that wait, and no more."""
        for site in self._sites:
            await site.stop()
        waiting = [connection for queue in self._queues for connection in _emptied(queue)]
        await asyncio.gather(*map(self._take, waiting))

    async def _take(self, connection: socket.socket) -> None:
        """One that comes to nothing is its client's matter alone."""
        assert self._runner.server is not None, "it has been set up"
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # those of TLS are, too
            await loop.connect_accepted_socket(self._runner.server, connection, ssl=self._tls)


@asynccontextmanager
async def open_listener(
    runner: web.AppRunner, host: str, port: int, *, tls: SSLContext | None = None
) -> AsyncIterator[Listener]:
    """Listens on each address of ``host`` that this machine has, and no more when it is left.

    Raises:
        OSError: there is no such host, or the port is taken.
    """
    sockets = await _bind(host, port)
    sites = [web.SockSite(runner, one, ssl_context=tls) for one in sockets]
    with ExitStack() as stack:
        queues = [stack.enter_context(one.dup()) for one in sockets]
        for site in sites:
            await site.start()
        yield Listener(runner, sites, queues, tls)


async def _bind(host: str, port: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            if (bound := _bound(family, address)) is not None:
                sockets.append(bound)
    except OSError:
        for one in sockets:
            one.close()
        raise
    if not sockets:
        raise OSError(errno.EADDRNOTAVAIL, f"this machine has no address of {host!r}")
    return sockets


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket | None:
    """A socket that listens there; None where this machine has no such address."""
    try:
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return None
        raise


def _emptied(queue: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait; the socket is closed behind the last one."""
    queue.setblocking(False)
    with queue:
        try:
            while True:
                connection, _ = queue.accept()
                connection.setblocking(False)
                yield connection
        except BlockingIOError:
            return
