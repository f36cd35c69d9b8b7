"""Which web pages may talk to this service. Browsers open a WebSocket or send a body without a type for any
page and ask nobody before; they say where the page is from.

A page of another origin is refused. So is one whose name was made to lead to this machine (DNS rebinding):
where the service listens on loopback alone, its own pages have a name of loopback. To such a page the browser
lets it ask without saying where it is from, so there the host that it asks for must be one of loopback, too.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.errors import Forbidden, Misdirected
from api.security.addresses import is_loopback


def check_origin(request: web.Request, host: str, allowed: Collection[str]) -> None:
    """Let requests pass that no page sent, those of pages of this service, and of ``allowed`` origins;
    ``host`` is where the service listens.

    Raises:
        Forbidden: the page is from elsewhere.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or origin in allowed:
        return
    is_own = origin.partition("://")[2] == request.headers.get(hdrs.HOST)
    if not is_own or (is_loopback(host) and not is_loopback(_host_of(origin))):
        raise Forbidden(
            f"pages of {origin[:200]!r} may not talk to this service: allowed_origins names those that may",
            code="origin_not_allowed",
        )


def check_host(request: web.Request, host: str, allowed: Collection[str]) -> None:
    """Let requests pass that are meant for this machine, or for one of the ``allowed`` hosts: of a service
    without keys that listens on ``host``, of loopback, where nothing else tells strangers apart.

    Raises:
        Misdirected: the request is meant for another host.
    """
    named = request.headers.get(hdrs.HOST)
    if named is None or not is_loopback(host):  # browsers always name one
        return
    name = _host_of(f"//{named}")
    if not is_loopback(name) and name not in allowed and named not in allowed:
        raise Misdirected(
            f"this service listens on loopback, without keys, and is not called {named[:200]!r}: "
            "allowed_hosts names what else leads here"
        )


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
