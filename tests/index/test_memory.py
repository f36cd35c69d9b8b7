"""Collections that load when they are used, and leave memory when others need it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index import catalog as catalogs
from index import truth
from index.catalog import Catalog, open_catalog
from index.errors import CollectionNotFound
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, Query
from index.upkeep import UpkeepTuning
from index.vectors import VectorTable

DIM = 8
ROWS = 100
Make = Callable[..., Document]
SOON = UpkeepTuning(erase_after_s=0.01)


@pytest.fixture
async def stored(tmp_path: Path, tuning: GraphTuning, make_document: Make) -> Path:
    """A data folder with the collections a, b and c, each with a graph."""
    async with open_catalog(tmp_path, tuning) as catalog:
        for name in "abc":
            collection, _ = await catalog.create(CollectionSettings(name, DIM))
            await collection.upsert([make_document(f"{name}{n}", n) for n in range(ROWS)])
            await collection.graph_settled()
    return tmp_path


async def use(catalog: Catalog, name: str, make_vector: Callable[[int], np.ndarray], seed: int = 3) -> str:
    result = await (await catalog.get(name)).search(Query(1, vector=make_vector(seed)))
    return result.hits[0].id


async def at_rest(catalog: Catalog, name: str) -> None:
    """Until it may leave memory."""
    memory = await (await catalog.get(name)).memory.load()
    while memory.upkeep.is_erasing:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.005)


async def test_a_collection_that_nobody_uses_takes_no_memory(
    stored: Path, tuning: GraphTuning, make_vector: Callable, make_document: Make
) -> None:
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("a")
        assert collection.settings == CollectionSettings("a", DIM, quantization="none")
        assert (await collection.document("a1")) is not None
        assert await collection.delete(["a5"]) == 1
        statistics = await collection.statistics()
        assert (statistics.points, statistics.memory_bytes, statistics.graph_points) == (ROWS - 1, 0, 0)
        assert await use(catalog, "a", make_vector) == "a3#0"
        assert (await collection.statistics()).memory_bytes > ROWS * DIM * 4
        assert (await catalog.get("b")).memory.resident is None
        assert len((await collection.search(Query(2 * ROWS, vector=make_vector(5), exact=True))).hits) == 99


async def test_many_who_come_at_once_load_it_once(
    stored: Path, tuning: GraphTuning, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []

    def counted(*arguments: object) -> VectorTable:
        loads.append(arguments)
        return load(*arguments)  # type: ignore[arg-type]

    load = truth.load_vectors
    monkeypatch.setattr(truth, "load_vectors", counted)
    async with open_catalog(stored, tuning) as catalog:
        found = await asyncio.gather(*(use(catalog, "a", make_vector, n) for n in range(20)))
    assert found == [f"a{n}#0" for n in range(20)]
    assert len(loads) == 1


async def test_writes_while_it_loads_are_neither_lost_nor_there_twice(
    stored: Path, tuning: GraphTuning, make_vector: Callable, make_document: Make
) -> None:
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("a")
        await asyncio.gather(
            collection.delete(["a1"]),
            collection.search(Query(1, vector=make_vector(1))),
            collection.upsert([make_document("new", 777), make_document("a2", 778)]),
            collection.delete(["a3"]),
        )
        hits = (await collection.search(Query(3 * ROWS, vector=make_vector(1), exact=True))).hits
        expected = {f"a{n}" for n in range(ROWS)} - {"a1", "a3"} | {"new"}
        assert sorted(hit.document_id for hit in hits) == sorted(expected)
        assert await use(catalog, "a", make_vector, 778) == "a2#0"


async def test_who_was_not_used_for_longest_leaves_first(
    stored: Path, tuning: GraphTuning, make_vector: Callable
) -> None:
    async with open_catalog(stored, tuning, SOON) as catalog:
        for name in "abca":
            await use(catalog, name, make_vector)
            await at_rest(catalog, name)
            await use(catalog, name, make_vector)
        size = (await catalog.get("a")).memory.size_bytes
        await catalog.fit(2 * size + size // 2)
        assert [(await catalog.get(name)).memory.resident is None for name in "abc"] == [False, True, False]
        await catalog.fit(1)
        assert [(await catalog.get(name)).memory.resident is None for name in "abc"] == [False, True, True]
        assert await use(catalog, "b", make_vector) == "b3#0"


async def test_who_left_knows_what_was_written_since(
    stored: Path, tuning: GraphTuning, make_vector: Callable, make_document: Make
) -> None:
    async with open_catalog(stored, tuning, SOON) as catalog:
        collection = await catalog.get("a")
        await collection.upsert([make_document("before", 800)])
        await at_rest(catalog, "a")
        assert await collection.memory.drop()
        assert await collection.delete(["a3", "before"]) == 2
        assert await use(catalog, "a", make_vector, 800) != "before#0"
        assert await use(catalog, "a", make_vector, 3) != "a3#0"
        assert len((await collection.search(Query(3 * ROWS, vector=make_vector(1)))).hits) == ROWS - 1


async def test_who_is_in_use_or_has_something_to_erase_stays(
    stored: Path, tuning: GraphTuning, make_vector: Callable
) -> None:
    never = UpkeepTuning(erase_after_s=1000)
    async with open_catalog(stored, tuning, never) as catalog:
        await use(catalog, "a", make_vector)
        assert not await (await catalog.get("a")).memory.drop()
        assert not await (await catalog.get("b")).memory.drop()
    async with open_catalog(stored, tuning, SOON) as catalog:
        await at_rest(catalog, "a")
        async with (await catalog.get("a")).memory.in_use():
            assert not await (await catalog.get("a")).memory.drop()
        assert await (await catalog.get("a")).memory.drop()


async def test_a_budget_is_looked_after(
    stored: Path, tuning: GraphTuning, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogs, "_FIT_EVERY_S", 0.01)
    async with open_catalog(stored, tuning, SOON, memory_bytes=1) as catalog:
        for name in "abc":
            await use(catalog, name, make_vector)
        others = [await catalog.get(name) for name in "ab"]
        while any(collection.memory.resident for collection in others):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)
        assert (await catalog.get("c")).memory.resident is not None


async def test_a_caller_that_leaves_while_it_loads_takes_nothing_along(
    stored: Path, tuning: GraphTuning, make_vector: Callable
) -> None:
    async with open_catalog(stored, tuning) as catalog:
        leaving = asyncio.create_task(use(catalog, "a", make_vector))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await use(catalog, "a", make_vector) == "a3#0"
        with pytest.raises(asyncio.CancelledError):
            await leaving


async def test_a_collection_that_is_dropped_while_it_loads_is_gone(
    stored: Path, tuning: GraphTuning, make_vector: Callable
) -> None:
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("a")
        loading = asyncio.create_task(collection.memory.load())
        await asyncio.sleep(0)
        await catalog.drop("a")
        await asyncio.wait([loading])
        with pytest.raises(CollectionNotFound):
            await collection.search(Query(1, vector=make_vector(1)))
        with pytest.raises(CollectionNotFound):
            await collection.memory.load()
