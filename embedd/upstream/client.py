"""The one HTTP client of ``embedd``: sends a request to an upstream and reads the events of its answer.

Knows statuses, retries, timeouts and server-sent events; nothing of what the events say. A request is tried
again only while not a byte of an answer has come, for what passes: no connection, 429, 502, 503.

Invariant: the key goes to the configured address only, and into no message: redirects are not followed.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus

import aiohttp

from embedd.errors import EmbeddError, UpstreamFailed, UpstreamTimedOut, UpstreamUnavailable
from embedd.upstream.specs import UpstreamLimits, UpstreamSpec
from embedd.upstream.statuses import asked_s, problem_of, why

_PASSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
_LONGEST_EVENT = 4 * 2**20
_EVENT_STREAM = "text/event-stream"

Context = Callable[[], Mapping[str, str]]
"""The headers that say what a request is part of; asked anew for each."""


class UpstreamClient:
    """Made by ``open_upstream_client``."""

    def __init__(
        self, spec: UpstreamSpec, limits: UpstreamLimits, session: aiohttp.ClientSession, context: Context
    ) -> None:
        self._spec = spec
        self._limits = limits
        self._session = session
        self._context = context

    async def stream(self, path: str, body: Mapping[str, object]) -> AsyncGenerator[bytes, None]:
        """The data of each event of the answer to ``body``, in order. Closing the iterator closes the
        connection.

        Raises:
            UpstreamRefused: it does not take the request.
            Overloaded: it takes no more requests now.
            UpstreamUnavailable: it is not there.
            UpstreamTimedOut: it said nothing for too long.
            UpstreamFailed: it answers something else, or the answer breaks off.
        """
        try:
            async with (
                await self._respond(path, body) as response,
                aclosing(_events(response)) as events,
            ):
                async for event in events:
                    yield event
        except TimeoutError as error:
            raise UpstreamTimedOut(f"{self._name} did not answer in {self._limits.silence_s:g} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UpstreamFailed(f"{self._name} broke off: {why(error)}") from error
        except _Nonsense as error:
            raise UpstreamFailed(f"{self._name} does not speak OpenAI's dialect: {error}") from error

    @property
    def _name(self) -> str:
        where = f" at {self._spec.base_url}" if self._spec.others else ""
        return f"the upstream of {self._spec.name!r}{where}"

    async def _respond(self, path: str, body: Mapping[str, object]) -> aiohttp.ClientResponse:
        """The response whose body is the answer, after as many attempts as it takes and is worth."""
        pause_s = self._limits.pause_s
        for left in reversed(range(self._limits.attempts)):
            try:
                return await self._attempt(path, body)
            except _MayPass as passing:
                if not left or passing.asked_s > self._limits.longest_pause_s:
                    raise passing.problem from passing.__cause__
                await asyncio.sleep(max(pause_s, passing.asked_s))
                pause_s *= 2
        raise AssertionError("there is at least one attempt")

    async def _attempt(self, path: str, body: Mapping[str, object]) -> aiohttp.ClientResponse:
        try:
            response = await self._post(path, body)
        except TimeoutError:
            raise
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            message = f"{self._name} cannot be reached: {why(error)}"
            raise _MayPass(UpstreamUnavailable(message, self._limits.longest_pause_s)) from error
        if response.status == HTTPStatus.OK:
            return response
        async with response:
            said, pause_s = await response.content.read(_LONGEST_EVENT), asked_s(response.headers)
        problem = problem_of(self._name, response.status, said, pause_s)
        raise _MayPass(problem, pause_s) if response.status in _PASSING else problem

    async def _post(self, path: str, body: Mapping[str, object]) -> aiohttp.ClientResponse:
        headers = {"Accept": _EVENT_STREAM, **self._context()}
        if self._spec.key:
            headers["Authorization"] = f"Bearer {self._spec.key}"
        url = f"{self._spec.base_url}{path}"
        return await self._session.post(url, json=body, headers=headers, allow_redirects=False)


@asynccontextmanager
async def open_upstream_client(
    spec: UpstreamSpec, limits: UpstreamLimits, context: Context = dict, tls: ssl.SSLContext | None = None
) -> AsyncIterator[UpstreamClient]:
    """A client of ``spec``; servers must have a certificate as ``tls`` wants it, the machine's own ideas
    unless given.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.silence_s)
    # How much may run at once is the upstream's to say.
    connector = aiohttp.TCPConnector(limit=0, ssl=True if tls is None else tls)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        yield UpstreamClient(spec, limits, session, context)


class _Nonsense(Exception):
    """No server-sent events, or too long ones."""


class _MayPass(Exception):
    """Another attempt may help, in ``asked_s`` if the upstream says so."""

    def __init__(self, problem: EmbeddError, asked_s: float = 0.0) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.asked_s = asked_s


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """The ``data`` of each event; whatever else a stream may hold is left out."""
    if response.content_type != _EVENT_STREAM:
        raise _Nonsense(f"its answer is {response.content_type}, not {_EVENT_STREAM}")
    data: list[bytes] = []
    async with aclosing(_lines(response.content)) as lines:
        async for line in lines:
            if line.startswith(b"data:"):
                data.append(line.removeprefix(b"data:").removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data)
                data = []
    if data:
        yield b"\n".join(data)


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    held = b""
    async for piece in content.iter_any():
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(held) > _LONGEST_EVENT:
            raise _Nonsense(f"a line has more than {_LONGEST_EVENT} bytes")
    if held:
        yield held.removesuffix(b"\r")
