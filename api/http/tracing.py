"""Makes a span of every request, and of its parts, in the trace that its ``traceparent`` names.

Knows HTTP's names for what a span says (OpenTelemetry's semantic conventions), and nothing of who is told.
"""

from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api.http.measuring import route_of
from api.http.middleware import QUIET
from api.tracing import Attributes, Tracing


def follow(tracing: Tracing) -> Middleware:
    """The middleware; what probes and scrapers ask is not told."""

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in QUIET:
            return await handler(request)
        method, route = route_of(request)
        name = f"{method} {route}" if method else "HTTP"
        with tracing.request(name, request.headers, _describe(request, route)) as told:
            response = await handler(request)
            told["http.response.status_code"] = response.status
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                told["error.type"] = str(response.status)
            return response

    return trace


def _describe(request: web.Request, route: str) -> Attributes:
    """No query, which may hold what is asked for."""
    return {
        "http.request.method": request.method,
        "http.route": route,
        "url.path": request.path,
        "url.scheme": request.scheme,
    }
