"""Lets the pages of allowed origins read answers: the CORS protocol of the WHATWG Fetch standard.

Whether their requests are served at all is `origins`' to say; who they are, their keys say. Cookies play no
part, so nothing is allowed to be sent with them.
"""

from collections.abc import Callable, Collection
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_KEPT_S = 600
"""For which a browser need not ask again."""


class Cors:
    """``answer_preflight`` is its middleware, ``stamp`` for every response that is about to be sent;
    ``allowed`` gives the origins that are so now.
    """

    def __init__(self, allowed: Callable[[], Collection[str]]) -> None:
        self._allowed = allowed

    @web.middleware
    async def answer_preflight(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A browser's question whether a page may send a request; it brings no key."""
        wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if request.method != hdrs.METH_OPTIONS or wanted is None or not self._allows(request):
            return await handler(request)
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            # Whatever it asks for: clients add headers of their own, which mean nothing by themselves.
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, ""),
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_KEPT_S),
        }
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)

    async def stamp(self, request: web.Request, response: web.StreamResponse) -> None:
        if not self._allowed():
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if self._allows(request):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "*"

    def _allows(self, request: web.Request) -> bool:
        return request.headers.get(hdrs.ORIGIN) in self._allowed()
