"""Who sent a request, and whether they may: credentials out of headers, held against the needs of a route.

Knows headers and paths; what a key is and what it opens is `api.security.gate`'s.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import hdrs, web

from api.security.identity import ANONYMOUS, Identity, Scope
from api.security.needs import Needs
from api.services.container import Services

IDENTITY = web.RequestKey("identity", Identity)
_AUTHORIZATION = "authorization"
_KEY_HEADERS = ("api-key", "x-api-key")  # of Azure's clients, and of Cohere's and others'
SOCKET_PROTOCOL = "embedd"
_SOCKET_KEY = "embedd.key."
"""Before the key among the protocols of a WebSocket: browsers let pages send no other header there."""
_METRICS = "/metrics"
_OF_COLLECTIONS = "/v1/collections/{name}"


async def admit(request: web.Request, services: Services, needs: Needs) -> Identity:
    """Who asks, if they have what it needs.

    Raises:
        Unauthenticated: no key came where one is needed, or one that is not good.
        QuotaExceeded: the key has used up what it may in a minute.
        Forbidden: the key is not for this.
    """
    path = _route_path(request)
    if needs.scope is None or (services.settings.metrics_without_key and path == _METRICS):
        return ANONYMOUS
    identity = await services.gate.identify(credentials_of(request))
    request[IDENTITY] = identity
    await services.gate.quotas.admit(identity)
    services.gate.check_needs(identity, needs)
    await permit_path(request, services, identity)
    return identity


async def permit_path(request: web.Request, services: Services, identity: Identity) -> None:
    """Let ``identity`` use the collection that the request's path names, if it names one.

    Raises:
        Forbidden: it may not.
    """
    if _route_path(request).startswith(_OF_COLLECTIONS):
        await permit_collection(services, identity, request.match_info["name"])


async def permit_collection(services: Services, identity: Identity, name: str) -> None:
    """Let ``identity`` use the collection of that name or alias.

    Raises:
        Forbidden: it may not, whether there is such a collection or not.
    """
    services.gate.check(identity, Scope.READ, await services.catalog.resolve(name))


async def visible_names(services: Services, identity: Identity) -> list[str]:
    """The names of the collections that ``identity`` may use, sorted."""
    await services.catalog.refresh()
    return [name for name in services.catalog.names() if identity.may_use(name)]


async def visible_aliases(services: Services, identity: Identity) -> dict[str, str]:
    """The aliases of these, and what they stand for, by name."""
    await services.catalog.refresh()
    pairs = sorted(services.catalog.aliases.items())
    return {alias: name for alias, name in pairs if identity.may_use(name)}


def credentials_of(request: web.Request) -> str | None:
    """What came with a request, from where clients put it."""
    return key_in(request.headers) or _socket_key(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()))


def key_in(headers: Mapping[str, Any]) -> str | None:
    """The key in headers, or in the metadata of a gRPC call, whose names are in small letters."""
    kind, _, token = str(headers.get(_AUTHORIZATION, "")).partition(" ")
    if kind.lower() == "bearer" and token.strip():
        return token.strip()
    given = (str(headers.get(name, "")).strip() for name in _KEY_HEADERS)
    return next((value for value in given if value), None)


def _socket_key(headers: Iterable[str]) -> str | None:
    names = (name.strip() for header in headers for name in header.split(","))
    return next((name.removeprefix(_SOCKET_KEY) for name in names if name.startswith(_SOCKET_KEY)), None)


def _route_path(request: web.Request) -> str:
    """As the route table has it: however the client wrote it, this is what is served."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical
