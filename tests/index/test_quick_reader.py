"""The thread for short statements: everyone gets their own answer, whatever becomes of the others."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from index.errors import CollectionNotFound, StorageFailed
from index.one_thread import OneThread
from index.quick_reader import QuickReader
from index.readers import Readers

DOUBLE = "SELECT n, 2 * n FROM numbers WHERE n = ?"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "truth.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(100)])
    connection.commit()
    connection.close()
    return path


@pytest.fixture
async def thread() -> AsyncIterator[OneThread]:
    thread = OneThread("short work")
    yield thread
    await thread.close()


@pytest.fixture
async def reader(file: Path, thread: OneThread) -> AsyncIterator[QuickReader]:
    reader = QuickReader(f"{file.as_uri()}?mode=ro", thread)
    yield reader
    await reader.close()


async def test_everyone_who_asks_at_once_gets_their_own_answer(reader: QuickReader) -> None:
    answers = await asyncio.gather(*(reader.rows(DOUBLE, (n,)) for n in range(100)))
    assert answers == [[(n, 2 * n)] for n in range(100)]


async def test_what_sqlite_refuses_fails_for_the_one_who_asked_it(reader: QuickReader) -> None:
    good, bad, after = await asyncio.gather(
        reader.rows(DOUBLE, (1,)),
        reader.rows("SELECT * FROM nowhere", ()),
        reader.rows(DOUBLE, (2,)),
        return_exceptions=True,
    )
    assert (good, after) == ([(1, 2)], [(2, 4)])
    assert isinstance(bad, sqlite3.OperationalError)


async def test_what_python_refuses_fails_for_the_one_who_asked_it(reader: QuickReader) -> None:
    bad, after = await asyncio.gather(
        reader.rows(DOUBLE, (2**70,)), reader.rows(DOUBLE, (2,)), return_exceptions=True
    )
    assert isinstance(bad, OverflowError)
    assert after == [(2, 4)]


async def test_one_who_leaves_does_not_take_the_others_along(reader: QuickReader) -> None:
    leaving = asyncio.ensure_future(reader.rows(DOUBLE, (1,)))
    staying = asyncio.ensure_future(reader.rows(DOUBLE, (2,)))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [(2, 4)]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_statement_sees_what_was_committed_before_it(reader: QuickReader, file: Path) -> None:
    assert await reader.rows(DOUBLE, (500,)) == []
    connection = sqlite3.connect(file)
    connection.execute("INSERT INTO numbers VALUES (500)")
    connection.commit()
    connection.close()
    assert await reader.rows(DOUBLE, (500,)) == [(500, 1000)]


async def test_a_file_that_comes_later_is_read_then(tmp_path: Path, file: Path, thread: OneThread) -> None:
    late = tmp_path / "late.db"
    reader = QuickReader(f"{late.as_uri()}?mode=ro", thread)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await reader.rows(DOUBLE, (1,))
    shutil.copyfile(file, late)
    assert await reader.rows("SELECT 1", ()) == [(1,)]
    await reader.close()


async def test_what_was_asked_before_the_end_is_answered(file: Path, thread: OneThread) -> None:
    reader = QuickReader(f"{file.as_uri()}?mode=ro", thread)
    asked = [asyncio.ensure_future(reader.rows(DOUBLE, (n,))) for n in range(40)]
    await asyncio.sleep(0)
    await reader.close()
    assert [await each for each in asked] == [[(n, 2 * n)] for n in range(40)]


async def test_who_is_on_the_thread_reads_there(reader: QuickReader, thread: OneThread) -> None:
    assert await thread.run(lambda: reader.rows_now(DOUBLE, (3,))) == [(3, 6)]


async def test_few_rows_fail_in_the_stores_own_words(file: Path, thread: OneThread) -> None:
    readers = Readers(file.parent, "numbers", thread)
    assert await readers.few_rows(DOUBLE, (3,)) == [(3, 6)]
    with pytest.raises(StorageFailed, match="no such table"):
        await readers.few_rows("SELECT * FROM nowhere")
    await readers.close()
    with pytest.raises(CollectionNotFound, match="numbers"):
        await readers.few_rows(DOUBLE, (3,))
    with pytest.raises(CollectionNotFound, match="numbers"):
        await thread.run(lambda: readers.few_rows_now(DOUBLE, (3,)))
