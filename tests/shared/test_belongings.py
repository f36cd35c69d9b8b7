"""Keys, added models and conversations go from a data folder into a shared catalog, and back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conversation_samples import conversation_of, message_of

from api.conversations.postgres_store import PostgresConversations
from api.conversations.sqlite_store import open_sqlite
from api.conversations.store import ConversationStore
from api.schemas_keys import KeyRequest
from api.security.contract import draft_of
from api.security.key_store import Keys, open_keys
from api.services.belongings import Copied, copy_belongings
from api.services.folder_belongings import FolderBelongings
from api.services.model_rows import ModelRow, ModelRows, open_model_rows
from api.shared.belongings import SharedBelongings
from index.postgres.database import Database

PAST = "2001-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Folder:
    """What a service has of its data folder."""

    keys: Keys
    models: ModelRows
    conversations: ConversationStore


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Folder]:
    async with open_keys(data) as keys, open_model_rows(data) as models, open_sqlite(data) as conversations:
        yield Folder(keys, models, conversations)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """With two folders in it."""
    for name in ("here", "back"):
        (tmp_path / name).mkdir()
    return tmp_path


async def everything(conversations: ConversationStore) -> list[Any]:
    return [(each, await conversations.messages(each.id)) for each in await conversations.page(100)]


async def test_all_of_it_arrives_and_comes_back(database: Database, one: Any, data: Path) -> None:
    here, shared = FolderBelongings(data / "here"), SharedBelongings(database)
    back = FolderBelongings(data / "back")
    async with opened(data / "here") as folder:  # as a service that runs
        full = KeyRequest(name="Öl\0", collections=["a"], acl=["sea"], requests_per_minute=5)
        for request in (full, KeyRequest(name="other")):
            await folder.keys.create(draft_of(request))
        model = ModelRow("m", "embedding", "hub/m", "d\0", "r1", "0" * 64, size_bytes=9)
        await folder.models.add(model)
        talk = conversation_of(
            title="a\0", model="m\0", retrieval={"collection": "a"}, metadata={"n": 1.5}, lasts=1e9
        )
        await folder.conversations.create(talk)
        await folder.conversations.append(talk.id, [message_of("x\0", sources=[1]), message_of("y")])
        await folder.conversations.create(conversation_of(title="empty"))
        await folder.conversations.create(conversation_of(expires_at=PAST))

        assert await copy_belongings(here, shared) == Copied(2, 1, 2)
        await one.news.look()
        assert one.keys.all() == folder.keys.all()
        assert list(one.models) == list(folder.models)
        assert await everything(PostgresConversations(database)) == await everything(folder.conversations)
        assert await copy_belongings(shared, back) == Copied(2, 1, 2)
        async with opened(data / "back") as home:
            assert home.keys.all() == folder.keys.all()
            assert list(home.models) == list(folder.models)
            assert await everything(home.conversations) == await everything(folder.conversations)


async def test_again_it_brings_what_is_new_and_leaves_what_is_there(
    database: Database, one: Any, tmp_path: Path
) -> None:
    here, shared = FolderBelongings(tmp_path), SharedBelongings(database)
    async with opened(tmp_path) as folder:
        kept, revoked = [(await folder.keys.create(draft_of(KeyRequest(name="k"))))[0] for _ in range(2)]
        await folder.models.add(ModelRow("m", "embedding", "hub/m"))
        talks = [conversation_of() for _ in range(2)]
        for talk in talks:
            await folder.conversations.create(talk)
            await folder.conversations.append(talk.id, [message_of("first")])
        await copy_belongings(here, shared)
        await one.news.look()

        await folder.keys.revoke(revoked.id)
        await one.keys.revoke(kept.id)
        await one.models.add(ModelRow("n", "embedding", "hub/n"))
        there = PostgresConversations(database)
        await there.append(talks[0].id, [message_of("there alone")])
        await folder.conversations.append(talks[1].id, [message_of("second"), message_of("third")])
        await copy_belongings(here, shared)
        await one.news.look()
        assert [key.revoked_at is None for key in one.keys.all()] == [False, False]
        assert [row.name for row in one.models] == ["m", "n"]
        told = [[each.content for each in await there.messages(talk.id)] for talk in talks]
        assert told == [["first", "there alone"], ["first", "second", "third"]]
        assert (await there.get(talks[1].id)).messages == 3


async def test_a_folder_without_any_of_it_has_nothing(database: Database, tmp_path: Path) -> None:
    assert await copy_belongings(FolderBelongings(tmp_path), SharedBelongings(database)) == Copied(0, 0, 0)
    assert await copy_belongings(SharedBelongings(database), FolderBelongings(tmp_path)) == Copied(0, 0, 0)
