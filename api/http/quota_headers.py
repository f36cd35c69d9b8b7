"""What is left of a key's quota, on every response to it, in the headers that OpenAI's clients read."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from api.http.authentication import IDENTITY
from api.security.quotas import Quotas


def quota_stamp(quotas: Quotas) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """For every response that is about to be sent; a stream's tokens are paid for later."""

    async def stamp(request: web.Request, response: web.StreamResponse) -> None:
        identity = request.get(IDENTITY)
        for standing in quotas.standings(identity) if identity is not None else ():
            response.headers[f"x-ratelimit-limit-{standing.unit}"] = str(standing.limit)
            response.headers[f"x-ratelimit-remaining-{standing.unit}"] = str(standing.remaining)
            response.headers[f"x-ratelimit-reset-{standing.unit}"] = f"{standing.reset_s:.2f}s"

    return stamp
