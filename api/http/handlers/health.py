"""Is it alive, is it ready, what is it."""

import importlib.metadata
from http import HTTPStatus

from api.http.routing import Call, Reply
from api.schemas import EmbeddingModelInfo, Health, Info, NoQuery, Readiness
from embedd.embedder import Embedder


async def live(call: Call[None, NoQuery]) -> Health:  # noqa: ARG001 - that it answers is the answer
    """Alive: the process answers."""
    return Health()


async def ready(call: Call[None, NoQuery]) -> Reply:
    """Ready for requests; 503 and the reasons if not."""
    reasons = call.services.readiness.reasons()
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return Reply(Readiness(ready=not reasons, reasons=reasons), status)


async def info(call: Call[None, NoQuery]) -> Info:
    """Version, models and limits."""
    services = call.services
    settings = services.settings
    return Info(
        name="embedd",
        version=importlib.metadata.version("embedd"),
        default_model=services.models.default,
        generator=services.models.generator_name,
        models=[describe_model(name, embedder) for name, embedder in services.models.embedders.items()],
        collections=len(services.catalog.names()),
        limits={
            "max_json_bytes": settings.max_json_bytes,
            "max_file_bytes": settings.max_file_bytes,
            "max_texts_per_request": settings.max_texts_per_request,
            "max_documents_per_request": settings.max_documents_per_request,
            "max_points_per_request": settings.max_points_per_request,
        },
    )


def describe_model(name: str, embedder: Embedder) -> EmbeddingModelInfo:
    return EmbeddingModelInfo(
        name=name,
        source=embedder.card.source,
        status=embedder.status.state,
        reason=embedder.status.reason,
        dim=embedder.card.dim,
        max_tokens=embedder.card.max_tokens,
        revision=embedder.card.revision,
        sha256=embedder.card.sha256,
    )
