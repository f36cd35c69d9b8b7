"""Is it alive, has it started, is it ready, what is it."""

import importlib.metadata
from http import HTTPStatus

from msgspec import UNSET

from api.http.authentication import visible_names
from api.http.routing import Call, Reply
from api.schemas import Health, Info, ModelInfo, NoQuery, Readiness, Startup
from api.services.registry import ModelState
from embedd.specs import ModelCard
from index.codec import MAX_ID_BYTES, MAX_METADATA_BYTES, MAX_METADATA_DEPTH
from index.collection_settings import MAX_DIM


async def live(call: Call[None, NoQuery]) -> Health:  # noqa: ARG001 - that it answers is the answer
    """Alive: the process answers."""
    return Health()


async def startup(call: Call[None, NoQuery]) -> Reply:
    """Started: the default model has been ready once; until then 503 and the reasons."""
    readiness = call.services.readiness
    if readiness.has_started():
        return Reply(Startup(started=True, reasons=[]))
    return Reply(Startup(started=False, reasons=readiness.reasons()), HTTPStatus.SERVICE_UNAVAILABLE)


async def ready(call: Call[None, NoQuery]) -> Reply:
    """Ready for requests; 503 and the reasons if not."""
    reasons = call.services.readiness.reasons()
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    notes = call.services.readiness.notes()
    return Reply(Readiness(ready=not reasons, reasons=reasons, notes=notes or UNSET), status)


async def info(call: Call[None, NoQuery]) -> Info:
    """Version, models and limits."""
    services = call.services
    settings = services.settings
    return Info(
        name="embedd",
        version=importlib.metadata.version("embedd"),
        default_model=services.models.default,
        default_reranker=services.models.rerankers.default,
        generator=services.models.generator_name,
        models=[_describe(state) for state in services.models.states()],
        collections=len(await visible_names(services, call.identity)),
        limits={
            "max_json_bytes": settings.max_json_bytes,
            "max_file_bytes": settings.max_file_bytes,
            "max_waiting_tokens": settings.max_waiting_tokens,
            "max_texts_per_request": settings.max_texts_per_request,
            "max_documents_per_request": settings.max_documents_per_request,
            "max_points_per_request": settings.max_points_per_request,
            "max_dim": MAX_DIM,
            "max_id_bytes": MAX_ID_BYTES,
            "max_metadata_bytes": MAX_METADATA_BYTES,
            "max_metadata_depth": MAX_METADATA_DEPTH,
        },
    )


def _describe(state: ModelState) -> ModelInfo:
    status = state.status
    info = ModelInfo(state.name, state.kind, status.state, status.reason or None)
    if state.card is not None:
        info.source = state.card.source
        info.device, info.dtype = state.device or UNSET, state.dtype or UNSET
        info.revision, info.sha256 = state.card.revision or UNSET, state.card.sha256 or UNSET
    if isinstance(state.card, ModelCard):
        info.dim = state.card.dim
        info.max_tokens = state.card.max_tokens
        info.prompts = sorted(state.card.prompts)
    if state.context is not None:
        info.context = state.context
    return info
