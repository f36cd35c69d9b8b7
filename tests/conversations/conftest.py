"""All stores of conversations, each with a place of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis_server import PROGRAM, redis_server

from api.conversations.postgres_store import PostgresConversations
from api.conversations.store import ConversationStore, open_conversations
from api.shared.tables import PARTS
from index.postgres.opening import open_database


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("there is no redis-server; apt installs it")
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", "redis", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ConversationStore]:
    if request.param == "postgres":
        async with open_database(request.getfixturevalue("postgres_url"), PARTS) as database:
            yield PostgresConversations(database)
        return
    where = "sqlite" if request.param == "sqlite" else request.getfixturevalue("redis_url")
    async with open_conversations(where, tmp_path) as store:
        for left in await store.page(100):
            await store.delete(left.id)
        yield store
