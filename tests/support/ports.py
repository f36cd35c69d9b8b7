"""Ports for servers that cannot choose one for themselves."""

import secrets
import socket
from contextlib import suppress

_FIRST, _COUNT = 20_000, 12_000
"""Below those that Linux gives to connections, of which other tests make many."""


def free_port() -> int:
    """One that nobody listens on."""
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
