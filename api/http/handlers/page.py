"""The web page: one document and the files that it names, sent with a policy that lets nothing else in."""

from http import HTTPStatus

from aiohttp import hdrs, web

from api.errors import NotFound
from api.http.routing import Call
from api.schemas import NoQuery
from api.ui.assets import INDEX, Asset

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # Text of documents cannot become markup: the browser refuses every way to parse a string as such.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    hdrs.CACHE_CONTROL: "no-cache",  # kept, and asked for again by its tag: a new version is seen at once
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def index(call: Call[None, NoQuery]) -> web.Response:
    """The web page."""
    return _response(call.request, call.services.assets[INDEX])


async def file(call: Call[None, NoQuery]) -> web.Response:
    """A file of the web page."""
    asset = call.services.assets.get(call.path["file"])
    if asset is None:
        raise NotFound(f"the page has no file {call.path['file'][:80]!r}", code="file_not_found")
    return _response(call.request, asset)


def _response(request: web.Request, asset: Asset) -> web.Response:
    response = web.Response(headers=_HEADERS)
    response.etag = asset.tag
    if _is_known(request, asset):
        response.set_status(HTTPStatus.NOT_MODIFIED)
        return response
    response.content_type, response.charset = asset.media_type, "utf-8"
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        response.body = asset.compressed
    else:
        response.body = asset.content
    return response


def _is_known(request: web.Request, asset: Asset) -> bool:
    """Whether the browser has these bytes already; ``*`` is any version."""
    return any(tag.value in (asset.tag, "*") for tag in request.if_none_match or ())
