"""Two services' connections to one database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from api.shared.keys import PostgresKeys
from api.shared.model_rows import SharedRows
from api.shared.news import News
from api.shared.tables import PARTS
from index.postgres.database import Database
from index.postgres.opening import open_database


@dataclass(frozen=True, slots=True)
class Side:
    """What one service knows, as of its last look at the news."""

    news: News
    keys: PostgresKeys
    models: SharedRows


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with open_database(postgres_url, PARTS) as database:
        yield database


def side_of(database: Database) -> Side:
    news = News(database)
    return Side(news, PostgresKeys(database, news), SharedRows(database, news))


@pytest.fixture
def one(database: Database) -> Side:
    return side_of(database)


@pytest.fixture
def two(database: Database) -> Side:
    return side_of(database)
