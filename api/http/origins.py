"""Which web pages may talk to this service. Browsers open a WebSocket or send a body without a type for any
page and ask nobody before; they say where the page is from.

A page of another origin is refused. So is one whose name was made to lead to this machine (DNS rebinding):
where the service listens on loopback alone, its own pages have a name of loopback.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from api.errors import Forbidden


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
    if not is_own or (_is_loopback(host) and not _is_loopback(_host_of(origin))):
        raise Forbidden(
            f"pages of {origin[:200]!r} may not talk to this service: allowed_origins names those that may",
            code="origin_not_allowed",
        )


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
