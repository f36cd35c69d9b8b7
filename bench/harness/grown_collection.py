"""A collection in this process, of rows grown from real embeddings, and what is measured of it."""

import asyncio
import os

from harness.grown import Matrix, grown
from harness.service import resident_bytes
from index.collection import Collection
from index.rows import CollectionStatistics, Document, Passage, Query

K = 10
ROWS_PER_WRITE = 1_000
QUESTIONS = 100
SETTLED_S = 600.0


async def store(collection: Collection, documents: Matrix, numbers: range, generation: int = 0) -> None:
    """Points ``p<number>``, a thousand at a time."""
    for start in range(numbers.start, numbers.stop, ROWS_PER_WRITE):
        some = range(start, min(start + ROWS_PER_WRITE, numbers.stop))
        vectors = await asyncio.to_thread(grown, documents, some, generation)
        await collection.upsert(
            [
                Document(f"p{n}", "", None, {"number": n}, (Passage(None, 0, 0, vector),), is_point=True)
                for n, vector in zip(some, vectors, strict=True)
            ]
        )


async def tidy(collection: Collection) -> None:
    """Until the graph has caught up, and nothing is left to write anew or to erase."""
    await collection.graph_settled()
    memory = await collection.memory.load()
    async with asyncio.timeout(SETTLED_S):
        while memory.upkeep.is_erasing:  # noqa: ASYNC110 - what files hold has no event
            await asyncio.sleep(0.1)


async def recall(collection: Collection, questions: Matrix) -> float:
    """Which part of the exact nearest a usual search finds."""
    found = 0
    for question in questions[:QUESTIONS]:
        usual = await collection.search(Query(K, vector=question))
        exact = await collection.search(Query(K, vector=question, exact=True))
        found += len({hit.id for hit in usual.hits} & {hit.id for hit in exact.hits})
    return found / (K * len(questions[:QUESTIONS]))


def memory_of(statistics: CollectionStatistics) -> dict[str, int]:
    return {
        "memory_bytes": statistics.memory_bytes,
        "mapped_bytes": statistics.mapped_bytes,
        "disk_bytes": statistics.size_bytes,
        "process_bytes": resident_bytes(os.getpid())["now"],
    }
