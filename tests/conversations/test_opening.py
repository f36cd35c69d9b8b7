"""Opening a store: what is there stays, what cannot be opened says why."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conversation_samples import conversation_of, message_of

from api.conversations.sqlite_store import FILE_NAME
from api.conversations.store import open_conversations
from index.errors import DataTooNew, StorageFailed


async def test_what_was_kept_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    conversation = conversation_of(title="tides")
    async with open_conversations("sqlite", tmp_path) as store:
        await store.create(conversation)
        await store.append(conversation.id, [message_of("why?")])
    async with open_conversations("sqlite", tmp_path) as store:
        assert (await store.get(conversation.id)).title == "tides"
        assert [message.content for message in await store.messages(conversation.id)] == ["why?"]


async def test_a_file_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DataTooNew):
        async with open_conversations("sqlite", tmp_path):
            pass


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "redis://:secret@127.0.0.1:no/0"])
async def test_a_server_that_does_not_answer_is_named_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed) as failed:
        async with open_conversations(url, tmp_path):
            pass
    assert "127.0.0.1" in str(failed.value)
    assert "secret" not in str(failed.value)


def test_without_redis_py_the_error_names_the_extra(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "sys.modules['redis'] = sys.modules['redis.asyncio'] = None\n"
        "from api.conversations.store import open_conversations\n"
        "async def main():\n"
        "    async with open_conversations('redis://127.0.0.1/0', pathlib.Path('.')): pass\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "embedd[redis]" in done.stderr


def test_nobody_who_keeps_conversations_in_sqlite_pays_for_redis() -> None:
    script = "import sys, api.app\nprint('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
