"""The least HTTP/1.1 that a load needs: keep-alive connections that post ready-made bytes.

A general client costs more per request than the service does, and would be what is measured.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import cast

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *\d", re.IGNORECASE)


class BadAnswer(Exception):
    """What came back is not HTTP as a load understands it, or the connection was closed before its end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``retry_after``: whether the answer says when to come back."""

    status: int
    retry_after: bool
    body: bytes


def post(host: str, port: int, path: str, body: bytes) -> bytes:
    """A whole request."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(host: str, port: int, path: str) -> bytes:
    """A whole request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()


def parse(received: bytes) -> Answer | None:
    """The answer that ``received`` holds, or None while a part of it is missing.

    Raises:
        BadAnswer: it does not say how long it is.
    """
    end = received.find(_HEAD_END)
    if end < 0:
        return None
    head = received[:end]
    length = _LENGTH.search(head)
    if length is None:
        raise BadAnswer(f"an answer without content-length: {head[:200]!r}")
    start = end + len(_HEAD_END)
    if len(received) < start + int(length.group(1)):
        return None
    return Answer(int(head[9:12]), _RETRY_AFTER.search(head) is not None, received[start:])


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None

    async def send(self, request: bytes) -> Answer:
        """The answer to ``request``.

        Raises:
            BadAnswer: the connection was closed, or there is no sense in what came.
        """
        if self._transport.is_closing():
            raise BadAnswer("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by name

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            answer = parse(bytes(self._received))
        except BadAnswer as error:
            self._fail(error)
            return
        if answer is not None and self._waiting is not None and not self._waiting.done():
            self._received.clear()
            self._waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(BadAnswer(f"the connection was closed before the answer: {exc}"))

    def _fail(self, error: BadAnswer) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


async def connect(host: str, port: int) -> Connection:
    """An open connection."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)
    return connection
