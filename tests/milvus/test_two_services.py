"""Two services over one truth that find nothing in the Milvus that they share: neither takes away what the
other one brings there, and in the end both look into the same rows.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from store_samples import document_of, ids_of, settings_of, vector_of

from index.catalog import open_catalog
from index.growth import NO_GRAPHS
from index.milvus import mirror
from index.milvus.catalog import MilvusCatalog, open_milvus_catalog
from index.milvus.collection import MilvusCollection
from index.milvus.marks import Mark
from index.rows import Query

Services = tuple[MilvusCatalog, MilvusCatalog]


@pytest.fixture
async def services(data: Path, prefix: str, milvus_url: str) -> AsyncIterator[Services]:
    """Two that have no collection yet."""
    async with (
        open_catalog(data, NO_GRAPHS) as below,
        open_milvus_catalog(below, milvus_url, prefix=prefix) as one,
        open_milvus_catalog(below, milvus_url, prefix=prefix) as other,
    ):
        yield one, other


async def found(collection: MilvusCollection) -> list[str]:
    """The ids of all points, found by Milvus."""
    result = await collection.search(Query(100, vector=vector_of(1)))
    assert result.plan == "milvus"
    return sorted(ids_of(result))


async def test_who_saw_no_rows_takes_away_none_that_came_since(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = services
    has_read, go_on = asyncio.Event(), asyncio.Event()
    is_pushing, push = asyncio.Event(), asyncio.Event()
    read, upsert = other._marks.read, other.milvus.upsert

    async def read_early(name: str) -> Mark | None:
        mark = await read(name)
        has_read.set()
        await go_on.wait()
        return mark

    async def push_late(place: str, rows: Sequence[dict[str, Any]]) -> None:
        if rows and "key" in rows[0]:  # no mark
            is_pushing.set()
            await push.wait()
        await upsert(place, rows)

    monkeypatch.setattr(other._marks, "read", read_early)
    monkeypatch.setattr(other.milvus, "upsert", push_late)
    late, _ = await other.create(settings_of())
    await has_read.wait()
    first = await one.get("notes")
    await first.mirror.caught_up()
    await first.upsert([document_of("a", 1), document_of("b", 2)])
    go_on.set()
    steps = [asyncio.create_task(step) for step in (late.mirror.caught_up(), is_pushing.wait())]
    await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
    assert await found(first) == ["a#0", "b#0"]
    push.set()
    await late.mirror.caught_up()
    for step in steps:
        step.cancel()
    assert late.mirror.place == first.mirror.place
    assert await found(late) == ["a#0", "b#0"]


async def test_of_two_that_begin_at_the_same_moment_one_gives_way(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_MARK_EVERY_S", 0.0)
    one, other = services
    is_writing, go_on = asyncio.Event(), asyncio.Event()
    write = other._marks.write

    async def write_late(name: str, mark: Mark) -> None:
        is_writing.set()
        await go_on.wait()
        await write(name, mark)

    monkeypatch.setattr(other._marks, "write", write_late)
    late, _ = await other.create(settings_of())
    await is_writing.wait()
    first = await one.get("notes")
    await first.mirror.caught_up()
    await first.upsert([document_of("a", 1)])
    assert await found(first) == ["a#0"]
    left = first.mirror.place
    assert left is not None
    go_on.set()
    await late.mirror.caught_up()
    await first.upsert([document_of("b", 2)])
    await first.mirror.caught_up()
    assert first.mirror.place == late.mirror.place != left
    assert not await one.milvus.has(left)
    await late.upsert([document_of("c", 3)])
    assert await found(first) == await found(late) == ["a#0", "b#0", "c#0"]
