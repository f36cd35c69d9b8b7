"""The graph beside the table: agreement, replay, renewal, and files that cannot be believed."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import files, growth, planner, snapshot
from index.catalog import open_catalog
from index.collection import Collection
from index.filters import parse_filter
from index.graph import Graph, GraphShape
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, Query

DIM = 8
ROWS = 1000
Make = Callable[..., Document]


@pytest.fixture(autouse=True)
def _graphs_pay_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "ROWS_PER_COMPARED", 0.01)


def folder_of(data: Path) -> Path:
    return data / "collections" / "notes"


async def fill(collection: Collection, make_document: Make, first: int = 0, count: int = ROWS) -> None:
    step = 500
    for start in range(first, first + count, step):
        numbers = range(start, min(start + step, first + count))
        await collection.upsert([make_document(f"d{n}", n, metadata={"n": n}) for n in numbers])
    await collection.graph_settled()


async def agreement(collection: Collection, make_vector: Callable, **options: object) -> float:
    """Which part of the exact ten nearest the graph finds, over thirty queries; every answer has ten."""
    found = 0
    for seed in range(-30, 0):
        query = make_vector(1_000_000 + seed)
        usual = await collection.search(Query(10, vector=query, **options))  # type: ignore[arg-type]
        exact = await collection.search(Query(10, vector=query, exact=True, **options))  # type: ignore[arg-type]
        assert usual.plan.endswith("graph")
        assert exact.plan.endswith("exact")
        assert len(usual.hits) == len(exact.hits) == 10
        found += len({hit.id for hit in usual.hits} & {hit.id for hit in exact.hits})
    return found / 300


@pytest.fixture
async def stored(tmp_path: Path, tuning: GraphTuning, make_document: Make) -> Path:
    """A data folder with a stored graph."""
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document)
    assert (folder_of(tmp_path) / snapshot.MANIFEST).exists()
    return tmp_path


@pytest.mark.parametrize(
    "settings",
    [
        CollectionSettings("notes", DIM, metric, quantization=quantization)  # type: ignore[arg-type]
        for metric, quantization in product(("cosine", "dot", "l2"), ("none", "int8"))
    ],
    ids=lambda settings: f"{settings.metric}-{settings.quantization}",
)
async def test_the_graph_agrees_with_the_exact_search(
    tmp_path: Path,
    tuning: GraphTuning,
    make_document: Make,
    make_vector: Callable,
    settings: CollectionSettings,
) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(settings)
        await fill(collection, make_document)
        assert (await collection.statistics()).graph_points == ROWS
        assert await agreement(collection, make_vector) > 0.95
    async with open_catalog(tmp_path, tuning) as catalog:  # and when it was stored and loaded
        collection = await catalog.get("notes")
        await collection.graph_settled()
        assert await agreement(collection, make_vector) > 0.95


async def test_a_graph_far_behind_is_built_by_several_threads(
    tmp_path: Path,
    tuning: GraphTuning,
    make_document: Make,
    make_vector: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growth, "_FAR_BEHIND", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document)
        assert (await collection.statistics()).graph_points == ROWS
        assert await agreement(collection, make_vector) > 0.95


def test_a_flood_is_noticed_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    flood = growth.Flood()
    assert not flood.is_on(last_seq=1_000, behind=1_000)
    answers = []
    for last_seq, behind in ((50_000, 40_000), (90_000, 80_000), (300_000, 290_000), (300_100, 50_000)):
        now += 1.0
        answers.append(flood.is_on(last_seq, behind))
        assert flood.is_on(last_seq, behind) == answers[-1]  # until it is time to look again
    assert answers == [True, True, False, False]  # too far behind; then hardly any rows came


async def test_a_wide_filter_goes_through_the_graph_and_a_narrow_one_does_not(
    tmp_path: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document)
        wide = parse_filter({"n": {"$gte": 100}})
        assert await agreement(collection, make_vector, filter=wide) > 0.95
        narrow = parse_filter({"n": {"$lt": 7}})
        result = await collection.search(Query(10, vector=make_vector(1), filter=narrow))
        assert result.plan == "filtered-exact"
        assert len(result.hits) == 7


async def test_a_filter_that_holds_only_far_away_still_fills_k(
    tmp_path: Path,
    tuning: GraphTuning,
    make_document: Make,
    make_vector: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "PATIENCE", 0.01)
    query = make_vector(-1 % 2**32)
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await collection.upsert(
            [
                make_document(f"d{n}", n, metadata={"far": bool(make_vector(n) @ query < 0)})
                for n in range(ROWS)
            ]
        )
        await collection.graph_settled()
        far = parse_filter({"far": True})
        result = await collection.search(Query(10, vector=query, filter=far))
        exact = await collection.search(Query(10, vector=query, filter=far, exact=True))
        assert result.plan == "filtered-graph-exact"
        assert all(hit.metadata == {"far": True} for hit in result.hits)
        assert len({hit.id for hit in result.hits} & {hit.id for hit in exact.hits}) >= 9


async def test_where_the_graph_gives_up_the_table_answers(
    stored: Path, tuning: GraphTuning, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*arguments: object, then: Callable[[list[None]], Any]) -> Any:
        """What a graph says that is closed or has compared too much."""
        return then([None])

    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        monkeypatch.setattr(Graph, "search", nothing)
        result = await collection.search(Query(10, vector=make_vector(3)))
        assert (result.plan, len(result.hits), result.hits[0].document_id) == ("graph-exact", 10, "d3")


async def test_a_small_collection_has_no_graph_and_a_shrunken_one_loses_it(
    tmp_path: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, count=tuning.threshold - 1)
        assert (await collection.statistics()).graph_points == 0
        await fill(collection, make_document, first=1000, count=50)
        assert (await collection.statistics()).graph_points == tuning.threshold + 49
        await collection.delete_matching(parse_filter({"n": {"$gte": 10}}))
        await collection.graph_settled()
        assert (await collection.statistics()).graph_points == 0
        assert len((await collection.search(Query(20, vector=make_vector(1)))).hits) == 10
    assert not list(folder_of(tmp_path).glob("graph*"))


async def test_a_fresh_row_is_found_before_the_graph_has_it(
    stored: Path,
    tuning: GraphTuning,
    make_document: Make,
    make_vector: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()

        async def nothing(*arguments: object) -> None:
            """The graph stands still."""

        monkeypatch.setattr(collection.memory.resident.growth, "_tend", nothing)
        await collection.upsert([make_document("fresh", 777_777), make_document("d5", 888_888)])
        for seed, id_ in ((777_777, "fresh"), (888_888, "d5")):
            result = await collection.search(Query(3, vector=make_vector(seed)))
            assert result.plan == "graph"
            assert result.hits[0].document_id == id_
        old = await collection.search(Query(ROWS, vector=make_vector(5)))
        assert [hit.document_id for hit in old.hits].count("d5") == 1


async def test_a_start_takes_the_stored_graph_and_replays_the_rest(
    stored: Path,
    tuning: GraphTuning,
    make_document: Make,
    make_vector: Callable,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    older = {path.name: path.read_bytes() for path in folder_of(stored).glob("graph*")}
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        await collection.delete([f"d{n}" for n in range(100)])
        await fill(collection, make_document, first=5000, count=100)
        await fill(collection, make_document, first=400, count=50)
    for path in folder_of(stored).glob("graph*"):
        path.unlink()
    for name, content in older.items():  # as after a crash before the newer graph was stored
        (folder_of(stored) / name).write_bytes(content)
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        statistics = await collection.statistics()
        assert (statistics.points, statistics.graph_points) == (ROWS, ROWS)
        assert statistics.graph_deleted == 150  # of the old graph: nothing was built anew
        assert await agreement(collection, make_vector) > 0.95


async def test_churn_renews_the_graph(
    stored: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        for _ in range(2):
            await fill(collection, make_document)
        statistics = await collection.statistics()
        assert statistics.graph_points == ROWS
        assert statistics.graph_deleted <= 0.2 * (ROWS + statistics.graph_deleted)
        assert await agreement(collection, make_vector) > 0.95


def flip(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    for place in random.integers(0, len(content), size=3):
        content[place] ^= 1 << int(random.integers(0, 8))
    path.write_bytes(content)


def cut(path: Path, random: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes()[: int(random.integers(0, path.stat().st_size))])


def zero(path: Path, random: np.random.Generator) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def remove(path: Path, random: np.random.Generator) -> None:
    path.unlink()


@pytest.mark.parametrize("which", ["graph.json", "graph-*.hnsw"])
@pytest.mark.parametrize("damage", [flip, cut, zero, remove])
async def test_a_damaged_graph_is_thrown_away_and_built_again(
    stored: Path, tuning: GraphTuning, make_vector: Callable, which: str, damage: Callable
) -> None:
    random = np.random.default_rng(sum(which.encode()) + len(damage.__name__))
    for _ in range(3):
        (path,) = folder_of(stored).glob(which)
        damage(path, random)
        async with open_catalog(stored, tuning) as catalog:
            collection = await catalog.get("notes")
            hits = (await collection.search(Query(1, vector=make_vector(77)))).hits
            assert [hit.document_id for hit in hits] == ["d77"]
            await collection.graph_settled()
            assert (await collection.statistics()).graph_points == ROWS
        assert len(list(folder_of(stored).glob("graph*"))) == 2


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"dim": 9}, {"metric": "l2"}, {"m": 4}, {"count": 5}, {"last_seq": "x"}, {"extra": 1}],
)
async def test_a_graph_of_another_kind_is_thrown_away(
    stored: Path, tuning: GraphTuning, change: dict, empty_graph: Callable[[], Graph]
) -> None:
    path = folder_of(stored) / snapshot.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert not await snapshot.load(empty_graph(), folder_of(stored))
    assert not list(folder_of(stored).glob("graph*"))


async def test_a_file_that_only_hnswlib_refuses_is_thrown_away(
    stored: Path, empty_graph: Callable[[], Graph]
) -> None:
    path = folder_of(stored) / snapshot.MANIFEST
    manifest = json.loads(path.read_text())
    (graph_file,) = folder_of(stored).glob("graph-*.hnsw")
    graph_file.write_bytes(b"\0" * 50)
    manifest["checksum"] = files.checksum(graph_file)
    path.write_text(json.dumps(manifest))
    assert not await snapshot.load(empty_graph(), folder_of(stored))


async def test_a_graph_of_other_rows_is_thrown_away(
    stored: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable, tmp_path: Path
) -> None:
    foreign = {path.name: path.read_bytes() for path in folder_of(stored).glob("graph*")}
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        await fill(collection, make_document, first=ROWS, count=200)
    manifest = json.loads(foreign["graph.json"])
    renamed = foreign.pop(f"graph-{manifest['last_seq']}.hnsw")
    manifest["last_seq"] = ROWS + 100  # claims rows that it lacks
    for path in folder_of(stored).glob("graph*"):
        path.unlink()
    (folder_of(stored) / f"graph-{ROWS + 100}.hnsw").write_bytes(renamed)
    (folder_of(stored) / "graph.json").write_text(json.dumps(manifest))
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        assert (await collection.statistics()).graph_points == ROWS + 200
        result = await collection.search(Query(1, vector=make_vector(ROWS + 50)))
        assert result.hits[0].document_id == f"d{ROWS + 50}"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("Cannot open file")])
async def test_a_graph_that_cannot_be_stored_is_no_harm(
    tmp_path: Path,
    tuning: GraphTuning,
    make_document: Make,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    async def refuse(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(snapshot, "save", refuse)
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, count=100)
    async with open_catalog(tmp_path, tuning) as catalog:
        assert await (await catalog.get("notes")).count() == 100


async def test_a_graph_that_fails_is_dropped_and_the_table_answers(
    stored: Path,
    tuning: GraphTuning,
    make_document: Make,
    make_vector: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()

        async def fail(*arguments: object) -> None:
            raise RuntimeError("not enough memory")

        with monkeypatch.context() as patch:
            patch.setattr(Graph, "add", fail)
            await fill(collection, make_document, first=ROWS, count=10)
            result = await collection.search(Query(1, vector=make_vector(ROWS + 3)))
            assert (result.plan, result.hits[0].document_id) == ("exact", f"d{ROWS + 3}")
        await fill(collection, make_document, first=ROWS + 10, count=1)
        assert (await collection.statistics()).graph_points == ROWS + 11


async def test_the_graph_is_stored_while_it_grows(
    tmp_path: Path, make_document: Make, tuning: GraphTuning
) -> None:
    async with open_catalog(tmp_path, tuning) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, count=tuning.snapshot_rows + 10)
        manifest = json.loads((folder_of(tmp_path) / snapshot.MANIFEST).read_text())
        assert manifest["count"] >= tuning.snapshot_rows


async def test_a_broken_graph_is_not_made_whole_by_erasing(
    stored: Path, tuning: GraphTuning, empty_graph: Callable[[], Graph]
) -> None:
    (path,) = folder_of(stored).glob("graph-*.hnsw")
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    shape = GraphShape(DIM, "cosine", tuning.m, tuning.ef_construction)
    snapshot.erase_gone(folder_of(stored), shape, np.arange(5))
    assert not list(folder_of(stored).glob("graph*"))


async def test_a_graph_that_was_erased_from_is_taken_and_counts_who_is_gone(
    stored: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    shape = GraphShape(DIM, "cosine", tuning.m, tuning.ef_construction)
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.delete([f"d{n}" for n in range(50)])
        await collection.graph_settled()
        live = (await collection.memory.load()).table.view().seqs()
    snapshot.erase_gone(folder_of(stored), shape, live)
    async with open_catalog(stored, tuning) as catalog:
        collection = await catalog.get("notes")
        await collection.graph_settled()
        statistics = await collection.statistics()
        assert (statistics.graph_points, statistics.graph_deleted) == (ROWS - 50, 50)
        assert await agreement(collection, make_vector) > 0.95
