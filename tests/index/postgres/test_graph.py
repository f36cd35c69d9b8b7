"""The HNSW index of a collection: built when it has grown, asked where that pays, and never short of hits."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from store_samples import ids_of, point_of, settings_of

from index import planner
from index.errors import StorageFailed
from index.filters import parse_filter
from index.postgres import vector_index
from index.postgres.catalog import PostgresCatalog
from index.postgres.collection import PostgresCollection
from index.postgres.database import Database
from index.postgres.graph_shape import graph_name, graph_shape
from index.postgres.vector_index import GraphTuning
from index.rows import Metric, Query, Vector

DIM = 12
POINTS = 3_000
K = 10
TUNING = GraphTuning(threshold=1_000, m=12, ef_construction=64)


@pytest.fixture(autouse=True)
def small_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs pay from fewer points on."""
    monkeypatch.setattr(planner, "MIN_EF", 40)


def vectors(count: int, seed: int = 1) -> Vector:
    """In clusters, as those of texts are."""
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(40, DIM))
    return (centres[dice.integers(40, size=count)] + 0.4 * dice.normal(size=(count, DIM))).astype(np.float32)


async def filled(
    catalog: PostgresCatalog, database: Database, metric: Metric, **fields: Any
) -> PostgresCollection:
    """With the points p0, p1 and so on, and a graph."""
    store, _ = await catalog.create(settings_of(dim=DIM, metric=metric, **fields))
    await store.upsert(
        [point_of(f"p{n}", vector=row, metadata={"n": n}) for n, row in enumerate(vectors(POINTS))]
    )
    await vector_index.keep(database, store.tables, store.settings, TUNING)
    return store


async def recall(store: PostgresCollection, queries: Vector) -> float:
    """The part of the nearest that is found by the graph."""
    found = await store.search_many([Query(K, vector=query) for query in queries])
    exact = await store.search_many([Query(K, vector=query, exact=True) for query in queries])
    assert {result.plan for result in found} == {"graph"}
    assert {result.plan for result in exact} == {"exact"}
    assert all(len(result.hits) == K for result in found)
    pairs = zip(found, exact, strict=True)
    return float(np.mean([len(set(ids_of(one)) & set(ids_of(other))) / K for one, other in pairs]))


@pytest.mark.parametrize(
    ("metric", "quantization"), [("cosine", "none"), ("cosine", "int8"), ("dot", "int8"), ("l2", "none")]
)
async def test_the_graph_finds_what_is_nearest(
    catalog: PostgresCatalog, database: Database, metric: Metric, quantization: str
) -> None:
    store = await filled(catalog, database, metric, quantization=quantization)
    assert await recall(store, vectors(40, seed=2)) > 0.95
    [query] = vectors(1, seed=3)
    one = (await store.search(Query(K, vector=query))).hits
    other = (await store.search(Query(K, vector=query, exact=True))).hits
    assert {hit.id: hit.score for hit in one}.items() & {hit.id: hit.score for hit in other}.items()


async def test_a_filter_loses_nothing_however_selective_it_is_and_wherever_it_leads(
    catalog: PostgresCatalog, database: Database
) -> None:
    store = await filled(catalog, database, "cosine")
    rows = vectors(POINTS)
    query = rows[0]
    far = np.argsort(rows @ query / np.linalg.norm(rows, axis=1))
    plans = set()
    for source, matches in (
        ({"n": {"$in": far[:3].tolist()}}, 3),
        ({"n": {"$in": far[: POINTS // 4].tolist()}}, POINTS // 4),
        ({"n": {"$gte": 0}}, POINTS),
        ({"n": {"$lt": POINTS // 2}}, POINTS // 2),
        ({"n": {"$nin": far[-300:].tolist()}}, POINTS - 300),
        ({"n": {"$ne": 0}}, POINTS - 1),
        ({"n": -1}, 0),
    ):
        for k in (1, 30, 400):
            result = await store.search(Query(k, vector=query, filter=parse_filter(source)))
            assert len(set(ids_of(result))) == len(result.hits) == min(k, matches), (source, k)
            plans.add(result.plan)
    assert plans >= {"filtered-graph", "filtered-exact"}


async def test_what_the_graph_does_not_find_is_looked_for_everywhere(
    catalog: PostgresCatalog, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await filled(catalog, database, "cosine")
    monkeypatch.setattr(planner, "limits_of", lambda *_: planner.Limits(most=1))
    rows = vectors(POINTS)
    far = np.argsort(rows @ rows[0] / np.linalg.norm(rows, axis=1))[:20]
    condition = parse_filter({"n": {"$in": far.tolist()}})
    result = await store.search(Query(15, vector=rows[0], filter=condition))
    assert result.plan == "filtered-graph-exact"
    exact = await store.search(Query(15, vector=rows[0], filter=condition, exact=True))
    assert ids_of(result) == ids_of(exact)


async def test_a_graph_follows_what_is_written_behind_it(
    catalog: PostgresCatalog, database: Database
) -> None:
    store = await filled(catalog, database, "cosine")
    [query] = vectors(1, seed=5)
    await store.upsert([point_of("new", vector=query)])
    assert ids_of(await store.search(Query(1, vector=query))) == ["new"]
    await store.delete(["new"])
    result = await store.search(Query(K, vector=query))
    assert "new" not in ids_of(result)
    assert len(result.hits) == K


@pytest.mark.parametrize("metric", ["dot", "l2"])
async def test_a_vector_too_long_for_half_precision_is_found_beside_the_graph(
    catalog: PostgresCatalog, database: Database, metric: Metric
) -> None:
    store = await filled(catalog, database, metric, quantization="int8")
    [query] = vectors(1, seed=6)
    large = 1e6 * query
    await store.upsert([point_of("large", vector=large)])
    assert ids_of(await store.search(Query(1, vector=large)))[0] == "large"
    assert "graph" in (await store.search(Query(1, vector=query))).plan
    assert await recall(store, vectors(20, seed=2)) > 0.9


async def test_it_is_built_when_there_are_enough_points_and_only_then(
    catalog: PostgresCatalog, database: Database
) -> None:
    store, _ = await catalog.create(settings_of())
    await store.upsert([point_of(f"p{n}", n) for n in range(20)])
    name = graph_name(store.tables)

    async def is_there(threshold: int) -> bool:
        tuning = replace(TUNING, threshold=threshold)
        await vector_index.keep(database, store.tables, store.settings, tuning)
        return bool(await database.value("SELECT to_regclass($1) IS NOT NULL", name))

    assert not await is_there(21)
    assert (await store.statistics()).graph_points == 0
    assert await is_there(20)
    assert await is_there(20)
    assert (await store.statistics()).graph_points == 20


async def test_one_that_was_left_unfinished_is_built_anew(
    catalog: PostgresCatalog, database: Database
) -> None:
    store, _ = await catalog.create(settings_of())
    await store.upsert([point_of(f"p{n}", n) for n in range(20)])
    name, tuning = graph_name(store.tables), replace(TUNING, threshold=10)
    is_whole = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"
    # Behind the back of one who reads the index cannot become whole.
    async with database.connection() as other, other.transaction(isolation="repeatable_read"):
        await other.execute(f"SELECT FROM {store.tables.passages}")
        build = asyncio.create_task(vector_index.keep(database, store.tables, store.settings, tuning))
        while await database.value(is_whole, name) is None:
            pass
        build.cancel()
        with pytest.raises(asyncio.CancelledError):
            await build
    assert await database.value(is_whole, name) is False
    assert (await store.search(Query(20, vector=vectors(1)[0][:8]))).plan == "exact"
    await vector_index.keep(database, store.tables, store.settings, tuning)
    assert await database.value(is_whole, name) is True


async def test_a_collection_whose_index_is_being_built_is_dropped_at_once(
    catalog: PostgresCatalog, database: Database
) -> None:
    store, _ = await catalog.create(settings_of())
    await store.upsert([point_of(f"p{n}", n) for n in range(20)])
    tuning = replace(TUNING, threshold=10)
    # Behind one who reads anything at all the build waits, and has the table meanwhile.
    async with database.connection() as other, other.transaction(isolation="repeatable_read"):
        await other.execute("SELECT FROM version")
        build = asyncio.create_task(vector_index.keep(database, store.tables, store.settings, tuning))
        waiting = "relid = to_regclass($1) AND phase LIKE 'waiting%'"
        sql = f"SELECT count(*) FROM pg_stat_progress_create_index WHERE {waiting}"
        while not await database.value(sql, store.tables.passages):
            pass
        async with asyncio.timeout(20):
            await catalog.drop("notes")
        with pytest.raises(StorageFailed, match="cancel"):
            await build
    assert not await database.value("SELECT to_regclass($1) IS NOT NULL", store.tables.passages)


async def test_services_that_want_one_at_once_build_one(catalog: PostgresCatalog, database: Database) -> None:
    store, _ = await catalog.create(settings_of())
    await store.upsert([point_of(f"p{n}", n) for n in range(20)])
    tuning = replace(TUNING, threshold=10)
    async with database.connection() as other:
        await other.execute("SELECT pg_advisory_lock(hashtext('embedd graphs'), hashtext(current_schema()))")
        await vector_index.keep(database, store.tables, store.settings, tuning)
        assert not await database.value("SELECT to_regclass($1) IS NOT NULL", graph_name(store.tables))
        await other.execute("SELECT pg_advisory_unlock_all()")
    await vector_index.keep(database, store.tables, store.settings, tuning)
    assert await database.value("SELECT to_regclass($1) IS NOT NULL", graph_name(store.tables))


@pytest.mark.parametrize(
    ("dim", "quantization", "halved"),
    [
        (384, "none", False),
        (384, "int8", True),
        (2_000, "none", False),
        (2_001, "none", True),
        (4_001, "int8", None),
    ],
)
def test_vectors_are_kept_in_half_precision_where_asked_or_where_they_are_large(
    dim: int, quantization: Any, halved: bool | None
) -> None:
    shape = graph_shape(settings_of(dim=dim, quantization=quantization))
    assert (shape.halved if shape else None) == halved


@pytest.mark.parametrize("dim", [2_000, 2_001, 4_000, 4_096])
async def test_every_dimension_that_a_collection_can_have_is_searched(
    catalog: PostgresCatalog, database: Database, dim: int
) -> None:
    store, _ = await catalog.create(settings_of(dim=dim))
    rows = np.random.default_rng(1).normal(size=(12, dim)).astype(np.float32)
    await store.upsert([point_of(f"p{n}", vector=row) for n, row in enumerate(rows)])
    await vector_index.keep(database, store.tables, store.settings, replace(TUNING, threshold=10))
    assert ids_of(await store.search(Query(1, vector=rows[3]))) == ["p3"]


async def test_vectors_at_the_ends_of_what_numbers_can_be_have_their_cosine(
    catalog: PostgresCatalog, database: Database
) -> None:
    store, _ = await catalog.create(settings_of())
    rows = np.random.default_rng(1).normal(size=(12, 8))
    scales = [1e-42, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e37]
    points = [(scale * row).astype(np.float32) for row in rows for scale in scales]
    await store.upsert([point_of(f"p{n}", vector=point) for n, point in enumerate(points)])
    query = rows[5].astype(np.float32)
    before = await store.search(Query(7, vector=query))
    assert set(ids_of(before)) == {f"p{n}" for n in range(35, 42)}
    await vector_index.keep(database, store.tables, store.settings, replace(TUNING, threshold=10))
    assert [(hit.id, hit.score) for hit in (await store.search(Query(7, vector=query))).hits] == [
        (hit.id, hit.score) for hit in before.hits
    ]
