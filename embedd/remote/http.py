"""The HTTP client of servers that have embedding and reranking models: one JSON body out, one in.

Knows statuses, connections and sizes; nothing of what is said. Nothing is tried again here but what a kept
connection lost that its server had closed meanwhile.

Invariant: the key goes to the configured address only, and into no message: redirects are not followed.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import aiohttp
import msgspec

from embedd.errors import UpstreamFailed, UpstreamTimedOut, UpstreamUnavailable
from embedd.remote.specs import RemoteLimits
from embedd.upstream.client import Context
from embedd.upstream.statuses import asked_s, problem_of, why

T = TypeVar("T")

_LARGEST_ANSWER = 256 * 2**20
_INLINE_BYTES = 2**17
"""What is decoded in less than a millisecond or so; more is decoded in a thread."""


class Asker:
    """Made by ``open_asker``; ``name`` says who it asks, for people."""

    def __init__(
        self,
        name: str,
        url: str,
        headers: Mapping[str, str],
        session: aiohttp.ClientSession,
        context: Context,
    ) -> None:
        self.name = name
        self.url = url
        self._headers = headers
        self._session = session
        self._context = context

    async def get(self, path: str, kind: type[T]) -> T:
        """What is at ``path``, which must be a ``kind``; raises what ``post`` does."""
        return await self._decoded(await self._ask("GET", path, None), kind)

    async def post(self, path: str, body: Mapping[str, object], kind: type[T]) -> T:
        """The answer to ``body``, which must be a ``kind``.

        Raises:
            UpstreamRefused: it does not take the request.
            Overloaded: it takes no more requests now.
            UpstreamUnavailable: it is not there.
            UpstreamTimedOut: it said nothing for too long.
            UpstreamFailed: it answers something else, or the answer breaks off.
        """
        return await self._decoded(await self._ask("POST", path, body), kind)

    async def reach(self, path: str) -> None:
        """Returns if ``path`` is answered with 200; raises what ``post`` does."""
        await self._ask("GET", path, None)

    async def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> bytes:
        encoded = None if body is None else msgspec.json.encode(body)
        try:
            try:
                return await self._attempt(method, path, encoded)
            except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError) as lost:
                return await self._attempt_again(method, path, encoded, lost)
        except TimeoutError as error:
            raise UpstreamTimedOut(f"{self.name} did not answer in time") from error
        except aiohttp.ClientConnectorError as error:
            raise UpstreamUnavailable(f"{self.name} cannot be reached: {why(error)}", 1.0) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamFailed(f"{self.name} broke off: {why(error)}") from error

    async def _attempt_again(self, method: str, path: str, body: bytes | None, lost: Exception) -> bytes:
        """What was sent may have been begun, so a server that is gone by now has broken off."""
        try:
            return await self._attempt(method, path, body)
        except aiohttp.ClientConnectorError as error:
            raise UpstreamFailed(f"{self.name} broke off: {why(lost)}") from error

    async def _attempt(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = {**self._headers, **self._context()}
        async with self._session.request(
            method, f"{self.url}{path}", data=body, headers=headers, allow_redirects=False
        ) as response:
            said = await self._read(response)
            if response.status != HTTPStatus.OK:
                raise problem_of(self.name, response.status, said, asked_s(response.headers))
            return said

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > _LARGEST_ANSWER:
                raise UpstreamFailed(f"{self.name} answered more than {_LARGEST_ANSWER} bytes")
            parts.append(part)
        return b"".join(parts)

    async def _decoded(self, said: bytes, kind: type[T]) -> T:
        def decode() -> Any:
            return msgspec.json.decode(said, type=kind)

        try:
            decoded: T = decode() if len(said) < _INLINE_BYTES else await asyncio.to_thread(decode)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamFailed(f"{self.name} answered what cannot be read: {error}") from error
        return decoded


@asynccontextmanager
async def open_asker(
    name: str,
    url: str,
    *,
    key: str,
    limits: RemoteLimits,
    context: Context = dict,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Asker]:
    """A client of the server at ``url``, whose certificate must be as ``tls`` wants it."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.silence_s)
    # How much may run at once is decided by who asks.
    connector = aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield Asker(name, url, headers, session, context)
