"""Around every request: an id, a log line, and errors turned into the one envelope clients know."""

import asyncio
import math
import time
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as AiohttpHandler

from api.errors import MalformedRequest, NotFound, PayloadTooLarge, Refusal, refuse
from api.errors_tei import refuse_as_tei
from api.http import wire
from api.http.measuring import CLIENT_LEFT
from api.http.routing import DIALECT, REQUEST_ID
from api.request_ids import HEADER_REQUEST_ID, request_id

log = structlog.get_logger()

QUIET = frozenset({"/health", "/healthz", "/startupz", "/readyz", "/metrics"})
"""What probes and scrapers ask, all the time."""


_CAREFUL = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@web.middleware
async def identify(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    """Take the client's request id or make one, bind it to the log, and write one line behind the answer."""
    request[REQUEST_ID] = request_id(request.headers.get(HEADER_REQUEST_ID, ""))
    with structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]):
        began = time.perf_counter()
        status = CLIENT_LEFT
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            seconds = time.perf_counter() - began
            asyncio.get_running_loop().call_soon(_log_request, request, status, seconds)


@web.middleware
async def answer_errors(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    """Answer whatever a handler raises; what nobody foresaw is logged with its traceback."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        return _framework_error(error, request)
    except Exception as error:
        refusal = _refuse(error, request)
        if not refusal.expected:
            log.exception("request_failed", method=request.method, path=request.path)
        return error_response(refusal, request)


async def stamp(request: web.Request, response: web.StreamResponse) -> None:
    """Every response carries the request's id, streams too, and tells browsers to make no more of it than
    it is; a handler's own headers stand.
    """
    for name, value in _CAREFUL.items():
        response.headers.setdefault(name, value)
    if REQUEST_ID in request:
        response.headers[HEADER_REQUEST_ID] = request[REQUEST_ID]


def error_response(refusal: Refusal, request: web.Request) -> web.Response:
    payload, content_type = wire.encode(refusal.body(), request.headers.get(hdrs.ACCEPT, ""))
    response = web.Response(body=payload, status=refusal.status, content_type=content_type)
    if refusal.status is HTTPStatus.UNAUTHORIZED:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="embedd"'
    if refusal.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(refusal.retry_after_s)))
    return response


def _refuse(error: Exception, request: web.Request) -> Refusal:
    """How ``error`` is answered in the dialect of the route; paths that are no route have our own."""
    dialect = request.get(DIALECT, "own")
    return refuse_as_tei(error) if dialect == "tei" else refuse(error, openai=dialect == "openai")


def _framework_error(error: web.HTTPException, request: web.Request) -> web.Response:
    """What aiohttp itself refuses: no such path, wrong method, a body over its limit, a bad request line."""
    response = error_response(_refuse(_translate(error, request), request), request)
    response.set_status(error.status)
    if isinstance(error, web.HTTPMethodNotAllowed):
        response.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    return response


def _translate(error: web.HTTPException, request: web.Request) -> Exception:
    if isinstance(error, web.HTTPNotFound):
        return NotFound(f"no such path: {request.path}; /docs lists them", code="route_not_found")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MalformedRequest(
            f"{request.path} does not take {error.method}; it takes {allowed}", code="method_not_allowed"
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return PayloadTooLarge(
            f"the body is larger than max_json_bytes allows: {error.text}; send it in parts",
            code="body_too_large",
        )
    return MalformedRequest(error.reason)


def _log_request(request: web.Request, status: int, seconds: float) -> None:
    write = log.debug if request.path in QUIET else log.info
    write(
        "request_answered",
        method=request.method,
        path=request.path,
        status=status,
        ms=round(seconds * 1000, 1),
        remote=request.remote,
    )
