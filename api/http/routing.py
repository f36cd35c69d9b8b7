"""What a route is, and how one becomes an aiohttp handler: decode, call, encode.

A handler is a coroutine of one argument, the `Call`: typed body, typed query, path values and the services
it may use. It returns a struct, a `Reply` when the status is not 200, or a prepared stream.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, Literal, TypeVar

from aiohttp import web
from msgspec import Struct

from api.errors import TooSlow
from api.http import wire
from api.http.auditing import COUNTS, audited, counts_of
from api.http.authentication import admit, permit_path
from api.http.origins import check_host, check_origin
from api.schemas import NoQuery
from api.security.identity import Identity
from api.security.needs import Needs
from api.services.container import Services

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")

Dialect = Literal["own", "openai", "tei"]
"""Whose clients a route serves; they expect errors in that shape and with these statuses."""

REQUEST_ID = web.RequestKey("request_id", str)
DIALECT = web.RequestKey("dialect", str)
COMPUTE_TOKENS = "x-compute-tokens"


@dataclass(frozen=True, slots=True)
class Call(Generic[BodyT, QueryT]):
    """One request, decoded and checked."""

    body: BodyT
    query: QueryT
    path: Mapping[str, str]
    services: Services
    request: web.Request
    identity: Identity


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its status and further headers.

    A ``large`` one is encoded in a thread; ``encoded`` is told how many seconds that took.
    """

    answer: object
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    large: bool = False
    encoded: Callable[[float], None] | None = None


Handled = Struct | Reply | web.StreamResponse
Handler = Callable[[Call[Any, Any]], Awaitable[Handled]]


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the public contract; router, validation and OpenAPI all come from it.

    ``answer`` is a schema, the media type of what has none, or None for no body. It comes with ``status``, or
    with one of ``also``; ``accepted`` is the schema of a 202, ``chunk`` that of a stream's events, and
    ``lines`` that of every line of a body that the handler reads itself.
    OpenAI's routes answer 400 where others say 422, TEI's have flat errors. ``needs`` is what a key must be.
    """

    method: str
    path: str
    handler: Handler
    answer: type | str | None
    needs: Needs
    body: type[Struct] | None = None
    query: type[Struct] = NoQuery
    status: HTTPStatus = HTTPStatus.OK
    also: tuple[HTTPStatus, ...] = ()
    dialect: Dialect = "own"
    multipart: bool = False
    chunk: type[Struct] | None = None
    accepted: type[Struct] | None = None
    lines: type[Struct] | None = None

    @property
    def changes(self) -> bool:
        """Whether it is there to change something."""
        return self.method != "GET" and self.needs.changes

    @property
    def summary(self) -> str:
        """The first line of its handler's docstring."""
        return (self.handler.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def tag(self) -> str:
        """The file of handlers it belongs to; ``tei_tokens`` belongs to ``tei``."""
        return self.handler.__module__.rpartition(".")[2].partition("_")[0]


def serve_route(route: Route, services: Services) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of ``route``."""

    async def handle(request: web.Request) -> web.StreamResponse:
        request[DIALECT] = route.dialect
        _check_source(request, services)
        identity = await admit(request, services, route.needs)
        body = await _body(route, request, services.settings.body_timeout_s)
        if identity.collections is not None:  # an alias may have moved while the body was on its way
            await permit_path(request, services, identity)
        call = Call(
            body=body,
            query=wire.read_query(request, route.query),
            path=request.match_info,
            services=services,
            request=request,
            identity=identity,
        )
        handled = await route.handler(call)
        services.gate.quotas.spend(identity, _tokens_of(handled))
        request[COUNTS] = counts_of(handled.answer if isinstance(handled, Reply) else handled)
        return await _response(handled, route, request.headers.get("Accept", ""))

    return audited(route.path, handle) if route.changes else handle


def _check_source(request: web.Request, services: Services) -> None:
    settings = services.settings
    check_origin(request, settings.host, settings.allowed_origins)
    if services.gate.is_open:
        check_host(request, settings.host, settings.allowed_hosts)


async def _body(route: Route, request: web.Request, timeout_s: float) -> Struct | None:
    if route.body is None or (route.multipart and request.content_type == "multipart/form-data"):
        return None
    try:
        async with asyncio.timeout(timeout_s):
            return await wire.read_body(request, route.body)
    except TimeoutError as error:
        raise TooSlow(f"the body took longer than {timeout_s:g} s (body_timeout_s)") from error


def _tokens_of(handled: Handled) -> int:
    """What models read for an answer; streams pay as they go."""
    return int(handled.headers.get(COMPUTE_TOKENS, 0)) if isinstance(handled, Reply) else 0


async def _response(handled: Handled, route: Route, accept: str) -> web.StreamResponse:
    if isinstance(handled, web.StreamResponse):
        return handled
    reply = handled if isinstance(handled, Reply) else Reply(handled, route.status)
    payload, content_type = await _encode(reply, accept)
    return web.Response(
        body=payload, status=reply.status, content_type=content_type, headers=dict(reply.headers)
    )


async def _encode(reply: Reply, accept: str) -> tuple[bytes, str]:
    began = time.perf_counter()
    if reply.large:
        encoded = await asyncio.to_thread(wire.encode, reply.answer, accept)
    else:
        encoded = wire.encode(reply.answer, accept)
    if reply.encoded is not None:
        reply.encoded(time.perf_counter() - began)
    return encoded
