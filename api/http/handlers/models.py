"""Models: list them, and add, watch, change and remove those that no setting names."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from http import HTTPStatus

from aiohttp import web
from msgspec import UNSET

from api.errors import ShuttingDown, refuse
from api.http.authentication import visible_aliases, visible_names
from api.http.model_requests import row_of, weights_of
from api.http.routing import Call, Reply
from api.http.sse import DONE, EVENT_PERIOD_S, stream_events
from api.schemas import Deleted, ErrorDetail, NoQuery
from api.schemas_models import (
    ModelAnswer,
    ModelExchange,
    ModelForceQuery,
    ModelList,
    ModelOutcome,
    ModelOutcomes,
    ModelPatch,
    ModelProgress,
    ModelRequest,
    ModelsRequest,
)
from api.services.container import Services
from api.services.model_records import ModelRecord
from embedd.errors import UnknownModel

_CREATED = 0  # models of the settings are not created: the field is there because OpenAI's clients read it


async def list_models(call: Call[None, NoQuery]) -> ModelList:
    """Models that requests may name, and those that are disabled."""
    places = await _places(call)
    return ModelList(
        data=[card for record in call.services.registry.records() for card in _cards(record, places)]
    )


async def get(call: Call[None, NoQuery]) -> ModelAnswer:
    """One model, or a generator over a collection."""
    return await _find(call, call.path["name"])


async def post(call: Call[ModelRequest, NoQuery]) -> Reply:
    """Add a model: 202 while it is fetched and loaded, 200 if it is there with these settings."""
    record, is_new = await call.services.registry.add(row_of(call.body))
    otherwise = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return Reply(_answer(record), HTTPStatus.ACCEPTED if record.is_under_way else otherwise)


async def post_many(call: Call[ModelsRequest, NoQuery]) -> ModelOutcomes:
    """Add several models; one that cannot be keeps no other from it."""
    return ModelOutcomes(models=[await _add(call.services, wanted) for wanted in call.body.models])


async def put(call: Call[ModelExchange, ModelForceQuery]) -> Reply:
    """Have a model that was added answer with other weights: 202 while they are fetched and loaded."""
    record = await call.services.registry.exchange(
        call.path["name"], weights_of(call.body), force=call.query.force
    )
    return Reply(_answer(record), HTTPStatus.ACCEPTED if record.is_under_way else HTTPStatus.OK)


async def patch(call: Call[ModelPatch, NoQuery]) -> ModelAnswer:
    """Enable, disable or describe a model that was added."""
    registry, body = call.services.registry, call.body
    return _answer(
        await registry.change(call.path["name"], enabled=body.enabled, description=body.description)
    )


async def delete(call: Call[None, ModelForceQuery]) -> Deleted:
    """Remove a model that was added; refused while collections are made with it, unless forced."""
    was_there = await call.services.registry.remove(call.path["name"], force=call.query.force)
    return Deleted(deleted=int(was_there))


async def follow(call: Call[None, NoQuery]) -> web.StreamResponse:
    """A model until it is ready or will not be; server-sent events, each like the answer of GET."""
    return await stream_events(call.request, _events(call.services, call.path["name"]), end=DONE)


async def _events(services: Services, name: str) -> AsyncGenerator[ModelAnswer, None]:
    record = services.registry.get(name)
    yield _answer(record)
    while record.is_under_way:
        if services.readiness.is_closing:
            raise ShuttingDown("the service is shutting down; the model comes when it is back")
        await asyncio.sleep(EVENT_PERIOD_S)
        record = services.registry.get(name)
        yield _answer(record)


async def _add(services: Services, wanted: ModelRequest) -> ModelOutcome:
    row = row_of(wanted)
    try:
        record, _ = await services.registry.add(row)
    except Exception as error:
        refusal = refuse(error)
        if not refusal.expected:
            raise
        detail = ErrorDetail(refusal.message, refusal.type, refusal.param, refusal.code)
        return ModelOutcome(row.name, error=detail)
    return ModelOutcome(row.name, model=_answer(record))


async def _find(call: Call[None, NoQuery], name: str) -> ModelAnswer:
    services = call.services
    try:
        return _answer(services.registry.get(name))
    except UnknownModel:
        generator, _, place = name.rpartition("@")
        if generator not in services.models.generators.names or place not in await _places(call):
            raise
    return _over(_answer(services.registry.get(generator)), place)


async def _places(call: Call[None, NoQuery]) -> list[str]:
    """Collections and aliases that generators may be asked over."""
    services, identity = call.services, call.identity
    names, aliases = await visible_names(services, identity), await visible_aliases(services, identity)
    return sorted([*names, *aliases])


def _cards(record: ModelRecord, places: Sequence[str]) -> list[ModelAnswer]:
    """The model and, of a generator that may be asked, itself over every one of ``places``."""
    card = _answer(record)
    if record.kind != "generator" or record.status == "registered":
        return [card]
    return [card, *(_over(card, place) for place in places)]


def _over(card: ModelAnswer, place: str) -> ModelAnswer:
    return ModelAnswer(f"{card.id}@{place}", card.created, card.owned_by, card.kind, card.status)


def _answer(record: ModelRecord) -> ModelAnswer:
    row, card = record.row, None if record.state is None else record.state.card
    answer = ModelAnswer(
        id=record.name,
        created=_CREATED if row is None else int(datetime.fromisoformat(row.created_at).timestamp()),
        owned_by="embedd",
        kind=record.kind,
        status=record.status,
        reason=record.reason or UNSET,
        configured=row is None,
        source=UNSET if card is None else card.source,
        revision=(card and card.revision) or UNSET,
        sha256=(card and card.sha256) or UNSET,
    )
    if row is not None:
        answer.enabled, answer.description, answer.source = row.enabled, row.description, row.source
        answer.revision, answer.sha256 = row.revision or answer.revision, row.sha256 or answer.sha256
        answer.allow_pickle = row.allow_pickle
        answer.created_at, answer.updated_at = row.created_at, row.updated_at
    if row is not None and record.coming is not None:
        answer.coming = record.coming
        answer.revision, answer.sha256 = row.revision or UNSET, row.sha256 or UNSET
    if record.progress is not None and record.progress.total_bytes is not None:
        answer.progress = ModelProgress(record.progress.done_bytes, record.progress.total_bytes)
    return answer
