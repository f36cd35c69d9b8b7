"""Opens what several services share, and what each of them has for itself."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from api.conversations.postgres_store import PostgresConversations
from api.conversations.store import ConversationStore, open_conversations
from api.security.key_store import Keys
from api.security.quotas import Quotas
from api.security.shared_quotas import SharedQuotas
from api.services.store_watch import StoreWatch
from api.settings import Settings
from api.shared.keys import PostgresKeys
from api.shared.ledger import PostgresLedger
from api.shared.model_rows import SharedRows
from api.shared.news import LOOK_S, News
from api.shared.tables import PARTS
from api.storage import Storage, open_quotas
from embedd.ownership import beside
from index import files
from index.postgres.catalog import open_postgres_catalog
from index.postgres.database import Database
from index.postgres.opening import open_database

_CONTROL_CONNECTIONS: Final = 4
"""Of their own, so that who may ask, and whether the database answers, is known however much is searched."""


@asynccontextmanager
async def open_shared(settings: Settings) -> AsyncIterator[Storage]:
    """The storage of a service over the PostgreSQL that its settings name as the catalog.

    The data folder, with files on their way and models, is this service's alone, and may be empty at a start.

    Raises:
        StoreError: the database cannot be used or reached, or the folder is another service's.
        SettingsError: a setting needs an extra that is not installed.
    """
    async with (
        _own_folder(settings),
        open_database(settings.catalog, PARTS, connections=_CONTROL_CONNECTIONS) as control,
        open_database(settings.catalog, PARTS) as database,
    ):
        news = News(control)
        keys, models = PostgresKeys(control, news), SharedRows(control, news)
        await news.look()
        watch = StoreWatch("catalog", news.look, LOOK_S)
        async with AsyncExitStack() as stack:
            catalog = await stack.enter_async_context(
                open_postgres_catalog(
                    database, settings.data / "spool", settings.catalog_replicas, control=control
                )
            )
            conversations = await stack.enter_async_context(_conversations(settings, database))
            quotas = await stack.enter_async_context(_quotas(settings, control))
            await stack.enter_async_context(beside(watch.follow()))
            yield Storage(catalog, keys, models, conversations, quotas, watches=[watch])


@asynccontextmanager
async def open_shared_keys(url: str) -> AsyncIterator[Keys]:
    """The keys of the services that share the PostgreSQL at ``url``.

    Raises:
        StoreError: it cannot be used or reached.
    """
    async with open_database(url, PARTS) as database:
        news = News(database)
        keys = PostgresKeys(database, news)
        await news.look()
        yield keys


@asynccontextmanager
async def _own_folder(settings: Settings) -> AsyncIterator[None]:
    lock = await asyncio.to_thread(files.lock, settings.data)
    try:
        yield
    finally:
        os.close(lock)


@asynccontextmanager
async def _conversations(settings: Settings, database: Database) -> AsyncIterator[ConversationStore]:
    if settings.conversations == "catalog":
        yield PostgresConversations(database)
        return
    async with open_conversations(settings.conversations, settings.data) as store:
        yield store


@asynccontextmanager
async def _quotas(settings: Settings, database: Database) -> AsyncIterator[Quotas]:
    if settings.quotas != "catalog":
        async with open_quotas(settings.quotas) as quotas:
            yield quotas
        return
    shared = SharedQuotas(PostgresLedger(database))
    async with beside(shared.work()):
        yield shared
