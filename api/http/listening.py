"""Where a service takes connections, until it closes the door behind the last one that came in time.

The system takes connections before the service does. Closing a listening socket resets those that wait in
its queue, whose clients have sent their requests already: here the queue is emptied first.
"""

import asyncio
import errno
import socket
from collections.abc import Iterator
from ssl import SSLContext
from typing import Any

from aiohttp import web

_BACKLOG = 128


class Listener:
    """Takes connections for ``runner`` until it is closed."""

    def __init__(self, runner: web.AppRunner, sockets: list[socket.socket], tls: SSLContext | None) -> None:
        self._runner = runner
        self._sites = [web.SockSite(runner, one, ssl_context=tls) for one in sockets]
        self._queues = [one.dup() for one in sockets]
        self._tls = tls

    async def start(self) -> None:
        """Begin to take connections."""
        for site in self._sites:
            await site.start()

    async def close(self) -> None:
        """Take those that wait, and no more."""
        for site in self._sites:
            await site.stop()
        waiting = [connection for queue in self._queues for connection in _emptied(queue)]
        assert self._runner.server is not None, "it has been set up"
        for connection in waiting:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._runner.server, connection, ssl=self._tls
            )


async def open_listener(
    runner: web.AppRunner, host: str, port: int, *, tls: SSLContext | None = None
) -> Listener:
    """Bound to each address of ``host`` that this machine has; ``start`` it, and close it in any case.

    Raises:
        OSError: there is no such host, or the port is taken.
    """
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
    return Listener(runner, sockets, tls)


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
