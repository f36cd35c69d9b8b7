"""kill -9 in the middle of writing: every acknowledged document is there, and none is torn."""

import asyncio
import random
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from index.catalog import open_catalog
from index.collection import Collection
from index.rows import CollectionSettings, Once, Query

CYCLES = 8
# Writes batches of documents for ever, one after the other, and prints the number of each that was
# acknowledged.
WRITER = """
import asyncio, sys
from pathlib import Path
import numpy as np
from index.catalog import open_catalog
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, Passage

def document(number, part):
    words = f"batch{number} part{part}"
    vectors = np.random.default_rng([number, part]).normal(size=(3, 16)).astype(np.float32)
    passages = tuple(Passage(f"{words} passage{n}", n, n + 1, v) for n, v in enumerate(vectors))
    return Document(f"{number}/{part}", words, words, {"batch": number}, passages)

async def main():
    tuning = GraphTuning(threshold=50, snapshot_rows=50, m=8, ef_construction=40)
    async with open_catalog(Path(sys.argv[1]), tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 16))
        number = int(sys.argv[2])
        while True:
            await asyncio.gather(*(
                collection.upsert([document(number + i, part) for part in range(4)]) for i in range(3)
            ))
            if number >= 6:
                await collection.delete([f"{number - 6}/0"])
            print(number + 2, flush=True)
            number += 3

asyncio.run(main())
"""


async def write_until_killed(folder: Path, first: int, acknowledgements: int, program: str = WRITER) -> int:
    """Start the writer, kill -9 it somewhere behind so many acknowledgements; gives the last number
    acknowledged.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, folder, str(first), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    last = first - 1
    for _ in range(acknowledgements):
        last = int(await process.stdout.readline())
    process.kill()
    for line in (await process.stdout.read()).splitlines():
        last = int(line)  # what was acknowledged until the signal came
    await process.wait()
    return last


@pytest.mark.slow
async def test_kill_9_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    last = -1
    for _ in range(CYCLES):
        last = await write_until_killed(tmp_path, last + 1, chance.randint(1, 12))
        check_file(tmp_path / "collections" / "notes" / "truth.db", last)
    async with open_catalog(tmp_path) as catalog:
        collection, created = await catalog.create(CollectionSettings("notes", 16))
        assert not created
        await collection.graph_settled()
        hit = (await collection.search(Query(1, text=f"batch{last} part3", exact=True))).hits[0]
        assert hit.document_id == f"{last}/3"
        vector = np.random.default_rng([last, 1]).normal(size=(3, 16)).astype(np.float32)[2]
        assert (await collection.search(Query(1, vector=vector))).hits[0].id == f"{last}/1#2"


def check_file(path: Path, last: int) -> None:
    """The truth itself, by SQLite's own means: complete batches, whole documents, an index that fits."""
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    documents = dict(
        connection.execute(
            "SELECT d.id, count(p.seq) FROM documents AS d LEFT JOIN passages AS p"
            " ON p.document = d.key GROUP BY d.key"
        )
    )
    texts = connection.execute("SELECT count(*) FROM texts").fetchone()[0]
    lengths = {n for (n,) in connection.execute("SELECT DISTINCT length(vector) FROM passages")}
    indexed = connection.execute(
        "SELECT count(*) FROM words WHERE words MATCH 'passage0 OR passage1 OR passage2'"
    )
    passages = indexed.fetchone()[0]
    connection.close()
    assert set(documents.values()) == {3}
    assert (len(documents), 3 * len(documents), lengths) == (texts, passages, {64})
    batches = {int(id_.split("/")[0]) for id_ in documents}
    assert batches >= set(range(last + 1))
    assert all({f"{batch}/{part}" for part in (1, 2, 3)} <= documents.keys() for batch in batches)
    assert f"{last}/0" in documents


# A client that knows what it wants: every write is for a version and has a key, and is sent twice. In its
# next life it begins with the step whose answer it did not hear, as any client would that tries again.
CAREFUL_WRITER = """
import asyncio, sys, uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
import numpy as np
from index.catalog import open_catalog
from index.codec import timestamp
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, DocumentPatch, Once, Passage

def document(id, **fields):
    vector = np.random.default_rng(len(id)).normal(size=16).astype(np.float32)
    return Document(id, id, id, {}, (Passage(id, 0, len(id), vector),), **fields)

def writes(collection, n):
    soon = timestamp(datetime.now(UTC) + timedelta(milliseconds=30))
    once = lambda name: Once(f"{name} {n}", name.encode())
    yield collection.upsert([document(f"doc {n}", if_version=0)], once=once("put"))
    yield collection.patch("counter", DocumentPatch({"last": n}, f"step{n}"), {n + 1}, once("patch"))
    yield collection.add_job(uuid.uuid4().hex, [b"x"], once("job"))
    yield collection.upsert([document(f"brief {n}", expires_at=soon, if_version=0)], once=once("brief"))
    if n >= 4:
        yield collection.delete([f"doc {n - 4}"], {1}, once("delete"))

async def main():
    tuning = GraphTuning(threshold=20, snapshot_rows=20, m=8, ef_construction=40)
    async with open_catalog(Path(sys.argv[1]), tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 16))
        await collection.upsert([document("counter", if_version=0)], once=Once("counter", b""))
        n = int(sys.argv[2])
        while True:
            first = await asyncio.gather(*writes(collection, n))
            again = await asyncio.gather(*writes(collection, n))
            assert first == again, (first, again)
            print(n, flush=True)
            n += 1

asyncio.run(main())
"""


@pytest.mark.slow
async def test_kill_9_neither_loses_nor_doubles_a_write_that_has_a_key(tmp_path: Path) -> None:
    chance = random.Random(11)
    last = -1
    for _ in range(CYCLES):
        last = await write_until_killed(tmp_path, last + 1, chance.randint(1, 12), CAREFUL_WRITER)
        check_keys(tmp_path / "collections" / "notes" / "truth.db", last)
    async with open_catalog(tmp_path) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", 16))
        for n in range(last + 1):
            assert (await collection.remembered(Once(f"patch {n}", b"patch")))["version"] == n + 2
        await until_expired_are_deleted(collection)
        assert [d.id for d in await collection.documents(1000) if d.id.startswith("brief")] == []
        assert await collection.count() == (await collection.statistics()).points
        version = (await collection.document("counter")).version
        hit = (await collection.search(Query(1, text=f"step{version - 2}"))).hits[0]
        assert hit.document_id == "counter"


async def until_expired_are_deleted(collection: Collection) -> None:
    while True:
        if await collection._readers.rows("SELECT id FROM documents WHERE id LIKE 'brief%'") == []:
            return
        await asyncio.sleep(0.01)


def check_keys(path: Path, last: int) -> None:
    """What was acknowledged is there once, with its key; what was not is there with its key or not at all."""
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    keys = {key for (key,) in connection.execute("SELECT key FROM idempotency")}
    versions = dict(connection.execute("SELECT id, version FROM documents WHERE id LIKE 'doc %'"))
    counter, steps = connection.execute(
        "SELECT version, metadata ->> 'last' FROM documents WHERE id = 'counter'"
    ).fetchone()
    jobs = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
    connection.close()
    assert set(versions.values()) <= {1}
    for n in range(last + 2):
        is_open = n == last + 1
        assert is_open or {f"put {n}", f"patch {n}", f"job {n}", f"brief {n}"} <= keys
        assert is_open or n < 4 or f"delete {n}" in keys
        was_put, was_deleted = f"put {n}" in keys, f"delete {n + 4}" in keys
        assert (f"doc {n}" in versions) == (was_put and not was_deleted)
    patched, kept = (sum(key.startswith(f"{name} ") for key in keys) for name in ("patch", "job"))
    assert (counter, jobs) == (1 + patched, kept)
    assert steps in (None, patched - 1)
