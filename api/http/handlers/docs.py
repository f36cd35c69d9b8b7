"""The contract, for programs and for people."""

from importlib.resources import files

from aiohttp import web

from api.http.openapi import describe_api
from api.http.routing import Call
from api.http.wire import JSON, encode_json
from api.schemas import NoQuery

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
)


async def openapi(call: Call[None, NoQuery]) -> web.Response:
    """This contract as OpenAPI 3.1."""
    from api.roles import routes_of  # noqa: PLC0415 - the table names this handler

    routes = routes_of(call.services.settings)
    return web.Response(body=encode_json(describe_api(routes)), content_type=JSON)


async def page(call: Call[None, NoQuery]) -> web.Response:  # noqa: ARG001
    """This contract as a page."""
    text = files("api.http").joinpath("docs.html").read_text("utf-8")
    return web.Response(
        text=text, content_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY}
    )
