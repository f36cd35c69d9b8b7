"""The writer: group commit, isolation of failures, cancellation, and what a full disk does."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from index import writer as writer_module
from index.collection import Collection
from index.database import open_for_writing
from index.errors import InvalidVector, StorageFailed, StorageFull, WriteQueueFull
from index.rows import Document, Query
from index.writer import Change, Writer


class Gate:
    """A write that holds the writer's thread until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, _connection: sqlite3.Connection) -> Change[None]:
        self.entered.set()
        assert self._open.wait(30)
        return Change(None)

    def open(self) -> None:
        self._open.set()


async def hold(collection: Collection) -> tuple[Gate, asyncio.Task[None]]:
    gate = Gate()
    task = asyncio.create_task(collection._writer.submit(gate))
    await asyncio.to_thread(gate.entered.wait, 30)
    return gate, task


async def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    connection = open_for_writing(tmp_path)
    pragmas = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    connection.close()
    assert pragmas == ["wal", 2, 1]


async def test_writes_that_wait_are_committed_together(
    collection: Collection, make_document: Callable[..., Document]
) -> None:
    gate, held = await hold(collection)
    before = collection._writer.commits
    async with asyncio.TaskGroup() as group:
        for n in range(50):
            group.create_task(collection.upsert([make_document(f"d{n}", n)]))
        await asyncio.sleep(0)
        gate.open()
    await held
    assert collection._writer.commits - before == 2  # the gate's own, and one for all fifty
    assert await collection.count() == 50


async def test_one_failing_write_does_not_hurt_the_others_of_its_group(
    collection: Collection, make_document: Callable[..., Document]
) -> None:
    gate, held = await hold(collection)

    def broken(connection: sqlite3.Connection) -> Change[None]:
        connection.execute("DELETE FROM documents")
        raise InvalidVector("on purpose")

    def wrong(connection: sqlite3.Connection) -> Change[None]:
        connection.execute("SELECT * FROM nowhere")
        return Change(None)

    tasks = [
        asyncio.create_task(collection.upsert([make_document("before", 1)])),
        asyncio.create_task(collection._writer.submit(broken)),
        asyncio.create_task(collection._writer.submit(wrong)),
        asyncio.create_task(collection.upsert([make_document("after", 2)])),
    ]
    await asyncio.sleep(0)
    gate.open()
    outcomes = await asyncio.gather(held, *tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        type(None),
        InvalidVector,
        StorageFailed,
        type(None),
    ]
    assert [d.id for d in await collection.documents(10)] == ["after", "before"]


async def test_a_caller_that_leaves_does_not_tear_its_write(
    collection: Collection, make_document: Callable[..., Document], make_vector: Callable
) -> None:
    started = threading.Event()
    collection._writer._connection.set_trace_callback(lambda _: started.set())
    writing = asyncio.create_task(collection.upsert([make_document("a", *range(10))]))
    await asyncio.to_thread(started.wait, 30)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await collection.settle([])  # behind it in the queue
    hits = (await collection.search(Query(20, vector=make_vector(3)))).hits
    assert len(hits) == 10
    assert (await collection.document("a")).passages == 10


async def test_a_caller_that_leaves_before_its_turn_writes_nothing(
    collection: Collection, make_document: Callable[..., Document]
) -> None:
    gate, held = await hold(collection)
    writing = asyncio.create_task(collection.upsert([make_document("a", 1)]))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.sleep(0)
    gate.open()
    await held
    await collection.settle([])
    assert await collection.count() == 0


async def test_a_full_queue_refuses_at_once(
    collection: Collection, make_document: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_WAITING_ROWS", 10)
    gate, held = await hold(collection)
    waiting = [asyncio.create_task(collection.upsert([make_document(f"d{n}", 1, 2, 3)])) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(WriteQueueFull, match="9 rows wait") as caught:
        await collection.upsert([make_document("refused", 1, 2)])
    assert caught.value.retry_after_s > 0
    gate.open()
    await asyncio.gather(held, *waiting)
    await collection.upsert([make_document("now", 1)])
    assert await collection.count() == 10


async def test_one_write_above_the_limit_is_taken_by_an_empty_queue(
    collection: Collection, make_document: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_WAITING_ROWS", 2)
    await collection.upsert([make_document("a", *range(20))])
    assert await collection.count() == 20


async def test_a_full_disk_fails_its_write_alone(
    collection: Collection, make_document: Callable[..., Document]
) -> None:
    connection = collection._writer._connection
    await collection.upsert([make_document("kept", 1)])
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    gate, held = await hold(collection)
    large = make_document("large", 2, text="x" * 1_000_000)
    tasks = [asyncio.create_task(collection.upsert([d])) for d in (large, make_document("small", 3))]
    await asyncio.sleep(0)
    gate.open()
    outcomes = await asyncio.gather(held, *tasks, return_exceptions=True)
    assert isinstance(outcomes[1], StorageFull)
    assert outcomes[2] is None
    assert [d.id for d in await collection.documents(10)] == ["kept", "small"]
    connection.execute("PRAGMA max_page_count = 1000000")
    await collection.upsert([large])
    assert await collection.count() == 3


async def test_a_file_that_cannot_be_written_is_a_typed_error(
    collection: Collection, make_document: Callable[..., Document], make_vector: Callable
) -> None:
    await collection.upsert([make_document("a", 1)])
    collection._writer._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageFailed, match="readonly"):
        await collection.upsert([make_document("b", 2)])
    assert [hit.document_id for hit in (await collection.search(Query(5, vector=make_vector(2)))).hits] == [
        "a"
    ]


async def test_a_file_that_somebody_locked_is_a_typed_error(
    collection: Collection, make_document: Callable[..., Document]
) -> None:
    collection._writer._connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(collection._folder / "truth.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    both = [collection.upsert([make_document(name, 1)]) for name in "ab"]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageFailed, StorageFailed]
    other.execute("ROLLBACK")
    other.close()
    await collection.upsert([make_document("a", 1)])
    assert await collection.count() == 1


async def test_closing_finishes_what_was_accepted(tmp_path: Path) -> None:
    applied: list[Change] = []
    writer = Writer(open_for_writing(tmp_path), applied.append)
    writes = [asyncio.create_task(writer.submit(lambda _: Change("done"))) for _ in range(20)]
    await asyncio.sleep(0)
    await writer.close()
    assert [await write for write in writes] == ["done"] * 20
    assert len(applied) == 20
    with pytest.raises(StorageFailed):
        await writer.submit(lambda _: Change(None))


async def test_a_commit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    connection = open_for_writing(tmp_path)
    applied: list[Change] = []
    writer = Writer(connection, applied.append)

    def orphan(connection: sqlite3.Connection) -> Change[None]:
        connection.execute("PRAGMA defer_foreign_keys = ON")  # the violation shows at COMMIT
        connection.execute("INSERT INTO texts VALUES (77, 'nobody')")
        return Change(None)

    with pytest.raises(StorageFailed, match="FOREIGN KEY"):
        await writer.submit(orphan)
    texts = await writer.submit(lambda c: Change(c.execute("SELECT * FROM texts").fetchall()))
    await writer.close()
    assert texts == []
    assert len(applied) == 1


async def test_nobody_waits_for_a_writer_that_stopped(tmp_path: Path) -> None:
    def broken(_: Change) -> None:
        raise ValueError("a bug")

    connection = open_for_writing(tmp_path)
    writer = Writer(connection, broken)
    writes = [writer.submit(lambda _: Change(None)) for _ in range(3)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StorageFailed] * 3
    with pytest.raises(StorageFailed):
        await writer.submit(lambda _: Change(None))
    with pytest.raises(ValueError, match="a bug"):
        await writer.close()
    connection.close()
    writer._executor.shutdown()
