"""One log line for every request that changes something: who, what, where, how much, and what came of it.

Never what was written, nor by which secret. A line is written when the answer is known, also when it is no.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from api.errors import refuse
from api.http.authentication import IDENTITY
from api.http.measuring import CLIENT_LEFT
from api.schemas_keys import KeyAnswer

log = structlog.get_logger()

COUNTS = web.RequestKey("counts", dict[str, Any])
_COUNTED = ("deleted", "upserted", "imported", "unchanged", "documents")

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


def audited(path: str, serve: Serve) -> Serve:
    """``serve``, each request of which is logged; ``path`` is that of the route table."""

    async def handle(request: web.Request) -> web.StreamResponse:
        status = CLIENT_LEFT
        try:
            response = await serve(request)
        except web.HTTPException as error:
            status = error.status
            raise
        except Exception as error:
            status = refuse(error).status
            raise
        else:
            status = response.status
            return response
        finally:
            _record(request, path, status)

    return handle


def counts_of(answer: object) -> dict[str, Any]:
    """How much an answer says was changed, and which job or key it tells of."""
    counts: dict[str, Any] = {}
    for name in _COUNTED:
        value = getattr(answer, name, None)
        if isinstance(value, int | list):
            counts[name] = value if isinstance(value, int) else len(value)
    if (job := getattr(answer, "job", None)) is not None:
        counts |= {"job": job.id, "documents": job.total}
    if isinstance(answer, KeyAnswer):
        counts["key"] = answer.id
    return counts


def _record(request: web.Request, path: str, status: int) -> None:
    identity = request.get(IDENTITY)
    log.info(
        "write_audited",
        caller=None if identity is None else identity.name,
        method=request.method,
        route=path,
        collection=request.match_info.get("name"),
        status=int(status),
        remote=request.remote,
        **request.get(COUNTS, {}),
    )
