"""What a service is for: everything, or models alone, for other services.

A service of models keeps nothing. What the parts of a service want of a folder is a temporary one, so that
none of them has to know of roles; what is not for models is not routed, so that nobody gets at it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from api.http.routes import ROUTES
from api.http.routing import Route
from api.settings import Settings

_OF_MODELS = {
    "GET": {
        "/healthz",
        "/startupz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/v1/info",
        "/v1/models",
        "/v1/models/{name:.+}",
        "/debug/tasks",
        "/debug/queues",
        "/debug/memory",
        "/health",
        "/info",
    },
    "POST": {
        "/v1/embeddings",
        "/v1/rerank",
        "/v2/rerank",
        "/v1/tokenize",
        "/v1/detokenize",
        "/",
        "/embed",
        "/embed_all",
        "/rerank",
        "/similarity",
        "/tokenize",
        "/decode",
    },
}


def routes_of(settings: Settings) -> tuple[Route, ...]:
    """What is answered over HTTP."""
    if settings.role == "all":
        return ROUTES
    return tuple(route for route in ROUTES if route.path in _OF_MODELS.get(route.method, ()))


@asynccontextmanager
async def open_role(settings: Settings) -> AsyncIterator[Settings]:
    """The settings as the parts of the service see them.

    Raises:
        OSError: there is no place for a temporary folder.
    """
    if settings.role == "all":
        yield settings
        return
    folder = await asyncio.to_thread(
        tempfile.TemporaryDirectory, prefix="embedd-", ignore_cleanup_errors=True
    )
    try:
        yield settings.model_copy(update=_keeping_nothing(settings, Path(folder.name)))
    finally:
        await asyncio.to_thread(folder.cleanup)


def read_again(read: Settings, now: Settings) -> Settings:
    """What was ``read`` while the service runs, as its parts see it."""
    if now.role == "all":
        return read
    return read.model_copy(update={name: getattr(now, name) for name in _keeping_nothing(now, now.data)})


def _keeping_nothing(settings: Settings, folder: Path) -> dict[str, object]:
    """Models out of buckets stay where they are: they are files, and no state."""
    return {
        "data": folder,
        "model_cache": settings.model_cache or settings.data / "models",
        "catalog": "sqlite",
        "catalog_replicas": (),
        "vectors": "catalog",
        "conversations": "sqlite",
        "generator": "extractive",
        "generators": (),
    }
