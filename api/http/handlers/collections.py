"""Collections: create, list, describe, delete."""

from contextlib import suppress
from http import HTTPStatus

from api.errors import InvalidRequest
from api.http.authentication import visible_names
from api.http.routing import Call, Reply
from api.schemas import (
    CollectionAnswer,
    CollectionList,
    CollectionPatch,
    CollectionRequest,
    Deleted,
    NoQuery,
)
from api.services.models import Models
from index.catalogs import Collections
from index.errors import CollectionNotFound
from index.rows import CollectionSettings
from index.store import Store


async def put(call: Call[CollectionRequest, NoQuery]) -> Reply:
    """Create; 200 if it exists with these settings."""
    name, catalog = call.path["name"], call.services.catalog
    description = call.body.description
    if description is None:  # not given: not a difference
        description = await _description(catalog, name)
    settings = _settings(name, call.body, description, call.services.models)
    store, created = await catalog.create(settings)
    status = HTTPStatus.CREATED if created else HTTPStatus.OK
    return Reply(await _describe(store), status)


async def get(call: Call[None, NoQuery]) -> CollectionAnswer:
    """Settings and sizes."""
    return await _describe(await call.services.catalog.get(call.path["name"]))


async def patch(call: Call[CollectionPatch, NoQuery]) -> CollectionAnswer:
    """Change the description."""
    store = await call.services.catalog.get(call.path["name"])
    await store.describe(call.body.description)
    return await _describe(store)


async def delete(call: Call[None, NoQuery]) -> Deleted:
    """Delete a collection and all that is in it."""
    try:
        await call.services.catalog.drop(call.path["name"])
    except CollectionNotFound:
        return Deleted(deleted=0)
    return Deleted(deleted=1)


async def list_all(call: Call[None, NoQuery]) -> CollectionList:
    """All collections."""
    catalog = call.services.catalog
    described = []
    for name in await visible_names(call.services, call.identity):
        with suppress(CollectionNotFound):  # dropped meanwhile
            described.append(await _describe(await catalog.get(name)))
    return CollectionList(collections=described)


async def _description(catalog: Collections, name: str) -> str:
    try:
        return (await catalog.get(name)).settings.description
    except CollectionNotFound:
        return ""


def _settings(name: str, request: CollectionRequest, description: str, models: Models) -> CollectionSettings:
    """With ``dim`` the clients bring their vectors; else a model embeds, the default one unless named."""
    if request.dim is not None:
        if request.model is not None:
            raise InvalidRequest(
                "send `model` or `dim`, not both: a model has its own dimension", param="dim"
            )
        _refuse_what_models_do(request)
        return CollectionSettings(
            name=name,
            dim=request.dim,
            metric=request.metric,
            description=description,
            tokenizer=request.tokenizer,
            quantization=request.quantization,
        )
    if request.model is None and models.default is None:
        raise InvalidRequest(
            "this service runs without an embedding model: send `dim` and bring your own vectors", param="dim"
        )
    card = models.embedder(request.model).card
    if request.token_vectors is not None and not card.gives_tokens:
        raise InvalidRequest(
            f"model {card.name!r} is on a server that gives no vectors of single tokens",
            param="token_vectors",
            code="no_token_vectors",
        )
    return CollectionSettings(
        name=name,
        dim=card.dim,
        metric=request.metric,
        model=card.name,
        model_revision=card.revision,
        model_sha256=card.sha256,
        description=description,
        token_vectors=request.token_vectors,
        tokenizer=request.tokenizer,
        quantization=request.quantization,
        chunk_tokens=request.chunk_tokens,
    )


def _refuse_what_models_do(request: CollectionRequest) -> None:
    if request.token_vectors is not None:
        raise InvalidRequest(
            "send `model`, not `dim`: token vectors come from a model", param="token_vectors"
        )
    if request.chunk_tokens is not None:
        raise InvalidRequest("send `model`, not `dim`: texts are cut for a model", param="chunk_tokens")


async def _describe(store: Store) -> CollectionAnswer:
    settings, sizes = store.settings, await store.statistics()
    assert settings.quantization is not None  # resolved when it was created
    return CollectionAnswer(
        name=settings.name,
        dim=settings.dim,
        metric=settings.metric,
        model=settings.model,
        model_revision=settings.model_revision,
        description=settings.description,
        token_vectors=settings.token_vectors,
        tokenizer=settings.tokenizer,
        quantization=settings.quantization,
        chunk_tokens=settings.chunk_tokens,
        documents=sizes.documents,
        points=sizes.points,
        size_bytes=sizes.size_bytes,
        memory_bytes=sizes.memory_bytes,
        mapped_bytes=sizes.mapped_bytes,
    )
