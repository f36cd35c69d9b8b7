"""kill -9 in the middle of writing: every acknowledged document is there, and none is torn."""

import asyncio
import random
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from index.catalog import open_catalog
from index.rows import CollectionSettings, Query

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


async def write_until_killed(folder: Path, first: int, acknowledgements: int) -> int:
    """Start the writer, kill -9 it somewhere behind so many acknowledgements; gives the last number
    acknowledged.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, folder, str(first), stdout=asyncio.subprocess.PIPE
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
