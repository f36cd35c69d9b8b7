"""Where a service keeps what must survive, as its settings say: in its data folder, or with others.

Opened as a whole and closed as a whole. What only a shared catalog needs is not even loaded without one.
"""

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from api.conversations.store import ConversationStore, open_conversations
from api.security.key_store import Keys, open_keys
from api.security.quotas import LocalQuotas, Quotas
from api.services.model_rows import ModelRows, open_model_rows
from api.services.store_watch import StoreWatch
from api.settings import Settings, SettingsError
from embedd.ownership import beside
from index.catalog import open_catalog
from index.catalogs import Collections
from index.growth import NO_GRAPHS

SQLITE: Final = "sqlite"
VECTORS_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Storage:
    """All that is kept. ``watches`` are of the stores that are elsewhere."""

    catalog: Collections
    keys: Keys
    models: ModelRows
    conversations: ConversationStore
    quotas: Quotas
    watches: Sequence[StoreWatch] = ()


@asynccontextmanager
async def open_storage(settings: Settings) -> AsyncIterator[Storage]:
    """What the settings name, for as long as the block runs.

    Raises:
        SettingsError: a setting needs an extra that is not installed, or another setting.
        StoreError: the data folder is in use, something is too new, or cannot be reached or read.
    """
    opener: Any = _open_embedded
    if settings.catalog != SQLITE:
        opener = shared().open_shared
    elif settings.catalog_replicas:
        raise SettingsError("catalog_replicas are of a PostgreSQL: name it as the catalog")
    async with opener(settings) as storage, _searched(storage, settings) as searched:
        yield searched


@asynccontextmanager
async def _open_embedded(settings: Settings) -> AsyncIterator[Storage]:
    where = SQLITE if settings.conversations == "catalog" else settings.conversations
    tuning = None if settings.vectors == "catalog" else NO_GRAPHS
    async with AsyncExitStack() as stack:
        yield Storage(
            catalog=await stack.enter_async_context(
                open_catalog(settings.data, tuning, memory_bytes=settings.memory_bytes)
            ),
            keys=await stack.enter_async_context(open_keys(settings.data)),
            models=await stack.enter_async_context(open_model_rows(settings.data)),
            conversations=await stack.enter_async_context(open_conversations(where, settings.data)),
            quotas=await stack.enter_async_context(open_quotas(settings.quotas)),
        )


@asynccontextmanager
async def _searched(storage: Storage, settings: Settings) -> AsyncIterator[Storage]:
    """With what searches the collections; what is kept stays where it is."""
    if settings.vectors == "catalog":
        yield storage
        return
    module = importlib.import_module("index.milvus.catalog")
    async with module.open_milvus_catalog(
        storage.catalog, settings.vectors, prefix=settings.vectors_prefix
    ) as catalog:
        watch = StoreWatch("vectors", catalog.milvus.ping, VECTORS_LOOK_S)
        async with beside(watch.follow()):
            yield replace(storage, catalog=catalog, watches=[*storage.watches, watch])


@asynccontextmanager
async def open_quotas(where: str) -> AsyncIterator[Quotas]:
    """Quotas that are not kept with a shared catalog: in memory, or in the Redis of that URL."""
    if "://" not in where:
        yield LocalQuotas()
        return
    module = importlib.import_module("api.security.redis_quotas")
    async with module.open_redis_quotas(where) as quotas:
        yield quotas


def shared() -> Any:
    """What opens a catalog that is shared.

    Raises:
        SettingsError: it needs an extra.
    """
    try:
        return importlib.import_module("api.shared.opening")
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise SettingsError(
            "a catalog in PostgreSQL needs the extra 'postgres': pip install 'embedd[postgres]'"
        ) from error
