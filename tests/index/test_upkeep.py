"""What tends a collection's rows: mapped files, dense blocks, and nothing left of what was deleted."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from index import upkeep, vectors
from index.blocks import Block
from index.catalog import open_catalog
from index.collection import Collection
from index.growth import GraphTuning
from index.mapped import MappedFile
from index.rows import CollectionSettings, Document, DocumentPatch, Passage, Query
from index.upkeep import UpkeepTuning, next_run

DIM = 8
BLOCK = 8
FILE_ROWS = 32
SOON = UpkeepTuning(file_bytes=4 * DIM * FILE_ROWS, erase_after_s=0.02)
Make = Callable[..., Document]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (vectors, upkeep):
        monkeypatch.setattr(module, "BLOCK_ROWS", BLOCK)


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - what files hold has no event
        await asyncio.sleep(0.005)


def folder_of(data: Path) -> Path:
    return data / "collections" / "notes"


def files_of(data: Path) -> list[Path]:
    return sorted(folder_of(data).glob("vectors-*.f32"))


def contents_of(data: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder_of(data).rglob("*") if path.is_file())


def points_of(rows: np.ndarray) -> list[Document]:
    passages = [(Passage(None, 0, 0, row),) for row in rows]
    return [Document(f"d{n}", "", None, {}, passage, is_point=True) for n, passage in enumerate(passages)]


async def is_tidy(collection: Collection) -> None:
    """Until nothing is left to rewrite or to erase."""
    memory = await collection.memory.load()
    file_rows = SOON.file_rows(memory.table.dim)
    await until(
        lambda: not memory.upkeep.is_erasing and next_run(memory.table.full_blocks, file_rows) is None
    )


async def found(collection: Collection, make_vector: Callable[[int], np.ndarray], count: int) -> set[str]:
    """The documents of the first ``count`` numbers that an exact search for their own vectors puts first."""
    first = set()
    for n in range(count):
        hits = (await collection.search(Query(1, vector=make_vector(n), exact=True))).hits
        first |= {hit.id for hit in hits if hit.score > 0.9999}
    return first


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


async def fill(collection: Collection, make_document: Make, numbers: range) -> None:
    await collection.upsert([make_document(f"d{n}", n) for n in numbers])


async def test_full_blocks_move_into_files_and_answer_as_before(
    data: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(100))
        await is_tidy(collection)
        assert len(files_of(data)) == 3
        statistics = await collection.statistics()
        assert (statistics.points, statistics.mapped_bytes) == (100, 3 * FILE_ROWS * DIM * 4)
        assert len(await found(collection, make_vector, 100)) == 100


async def test_a_restart_takes_the_files_and_reads_the_rest(
    data: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(100))
        await is_tidy(collection)
    older = {path.name: path.read_bytes() for path in files_of(data)}
    async with open_catalog(data, tuning, SOON) as catalog:
        collection = await catalog.get("notes")
        assert await found(collection, make_vector, 100) == {f"d{n}#0" for n in range(100)}
        await collection.delete([f"d{n}" for n in range(20, 90)])
        await fill(collection, make_document, range(100, 150))
        await is_tidy(collection)
        expected = {f"d{n}#0" for n in range(150) if not 20 <= n < 90}
        assert await found(collection, make_vector, 150) == expected
    for path in files_of(data):
        path.unlink()
    for name, content in older.items():  # as after a crash before anything was written anew
        (folder_of(data) / name).write_bytes(content)
    async with open_catalog(data, tuning, SOON) as catalog:
        collection = await catalog.get("notes")
        assert await found(collection, make_vector, 150) == expected
        await is_tidy(collection)
        assert await found(collection, make_vector, 150) == expected


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_broken_file_is_read_from_the_truth_and_made_again(
    data: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable, which: int
) -> None:
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(100))
        await is_tidy(collection)
    broken = files_of(data)[which]
    content = bytearray(broken.read_bytes())
    content[4096 + 40] ^= 1
    broken.write_bytes(content)
    async with open_catalog(data, tuning, SOON) as catalog:
        collection = await catalog.get("notes")
        assert len(await found(collection, make_vector, 100)) == 100
        await is_tidy(collection)
        assert len(files_of(data)) == 3


async def test_a_file_that_lacks_a_row_is_not_used(
    data: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(60))
        await collection.delete([f"d{n}" for n in range(0, 60, 2)])
        await fill(collection, make_document, range(60, 70))
        await is_tidy(collection)
    (foreign,) = files_of(data)
    shutil.copy(foreign, data / "foreign")
    shutil.rmtree(folder_of(data))
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(70))
        await is_tidy(collection)
    for path in files_of(data):
        path.unlink()
    shutil.copy(data / "foreign", folder_of(data) / foreign.name)
    async with open_catalog(data, tuning, SOON) as catalog:
        assert len(await found(await catalog.get("notes"), make_vector, 70)) == 70


async def test_nothing_of_a_deleted_document_but_its_id_is_left_in_any_file(
    data: Path, make_document: Make, make_vector: Callable
) -> None:
    tuning = GraphTuning(threshold=20, m=8, ef_construction=60, snapshot_rows=10)
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(100))
        secret = make_document(
            "quokka", 500, 501, text="wombat " * 2000, title="numbat", metadata={"animal": "bilby"}
        )
        await collection.upsert([secret])
        await fill(collection, make_document, range(200, 300))
        await collection.graph_settled()
        await is_tidy(collection)
        # The id stays for a week: whoever follows the collection has to hear what was deleted.
        traces = [b"wombat", b"numbat", b"bilby", b"word500", b"501"]
        for seed in (500, 501):
            vector = make_vector(seed)
            unit = (vector / np.linalg.norm(vector.astype(np.float64))).astype(np.float32)
            traces += [vector.tobytes(), unit.tobytes()]
        before = contents_of(data)
        assert all(trace in before for trace in traces if trace != b"501")
        await collection.delete(["quokka"])
        await is_tidy(collection)
        after = contents_of(data)
        assert [trace for trace in traces if trace in after] == []
        assert len((await collection.search(Query(5, vector=make_vector(7)))).hits) == 5
    assert [trace for trace in traces if trace in contents_of(data)] == []


async def test_nothing_of_what_a_patch_replaced_is_left_in_any_file(
    data: Path, tuning: GraphTuning, make_document: Make
) -> None:
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(50))
        await collection.upsert([make_document("quokka", 500, title="numbat", metadata={"animal": "bilby"})])
        await is_tidy(collection)
        assert all(trace in contents_of(data) for trace in (b"numbat", b"bilby"))
        await collection.patch("quokka", DocumentPatch(title="dingo", metadata={"animal": None}))
        await is_tidy(collection)
        assert [trace for trace in (b"numbat", b"bilby") if trace in contents_of(data)] == []


async def test_nothing_of_a_document_without_passages_is_left_in_any_file(
    data: Path, tuning: GraphTuning
) -> None:
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await collection.upsert([Document("quokka", "numbat", None, {}, ())])
        await is_tidy(collection)
        await collection.delete(["quokka"])
        await is_tidy(collection)
        assert b"numbat" not in contents_of(data)


async def test_a_process_finishes_what_the_one_before_left_to_erase(
    data: Path, tuning: GraphTuning, make_document: Make, make_vector: Callable
) -> None:
    late = UpkeepTuning(file_bytes=SOON.file_bytes, erase_after_s=1000)
    async with open_catalog(data, tuning, late) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        await fill(collection, make_document, range(100))
        await until(lambda: len(files_of(data)) == 3)
        await collection.delete(["d5"])
    vector = make_vector(5)
    trace = (vector / np.linalg.norm(vector.astype(np.float64))).astype(np.float32).tobytes()
    assert trace in contents_of(data)
    async with open_catalog(data, tuning, SOON) as catalog:
        await is_tidy(await catalog.get("notes"))
        assert trace not in contents_of(data)


async def test_what_cannot_be_written_is_tried_again(
    data: Path, tuning: GraphTuning, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", DIM))
        with monkeypatch.context() as patch:
            patch.setattr(upkeep.mapped, "write", refuse)
            await fill(collection, make_document, range(100))
            await asyncio.sleep(0.05)
            assert not files_of(data)
            assert await collection.count() == 100
        await fill(collection, make_document, range(100, 101))
        await until(lambda: len(files_of(data)) == 3)


async def test_vectors_of_which_a_file_takes_less_than_two_blocks_come_to_rest(
    data: Path, tuning: GraphTuning
) -> None:
    """A file for each block would be a block that stays in memory, and be tried again for ever."""
    dim = 64
    async with open_catalog(data, tuning, SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", dim))
        rows = np.random.default_rng(3).normal(size=(3 * BLOCK, dim)).astype(np.float32)
        await collection.upsert(points_of(rows))
        await is_tidy(collection)
        assert len(files_of(data)) == 1


async def test_blocks_that_are_scanned_get_codes_and_count_them(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_LOOK_EVERY_S", 0.02)
    dim = 64
    async with open_catalog(data, GraphTuning(threshold=10_000), SOON) as catalog:
        collection, _ = await catalog.create(CollectionSettings("notes", dim))
        rows = np.random.default_rng(3).normal(size=(3 * BLOCK, dim)).astype(np.float32)
        await collection.upsert(points_of(rows))
        table = (await collection.memory.load()).table
        await is_tidy(collection)
        before = table.memory_bytes
        await asyncio.sleep(0.1)
        assert not any(block.scans.codes for block in table.full_blocks)
        wanted = await collection.search(Query(3, vector=rows[5], exact=True))
        while not all(block.scans.codes for block in table.full_blocks):
            await collection.search(Query(3, vector=rows[5], exact=True))
            await asyncio.sleep(0.005)
        assert table.memory_bytes > before + 3 * BLOCK * dim
        assert await collection.search(Query(3, vector=rows[5], exact=True)) == wanted
        await until(lambda: not any(block.scans.codes for block in table.full_blocks))


def block_of(count: int, gone: int = 0, *, is_mapped: bool = False) -> Block:
    live = np.arange(count) >= gone
    file = MappedFile(Path("somewhere"), None) if is_mapped else None  # type: ignore[arg-type]
    keys = np.arange(count)
    return Block(np.zeros((count, 1), dtype=np.float32), keys, keys, live, file)


def run_of(*blocks: Block) -> list[int] | None:
    run = next_run(blocks, FILE_ROWS)
    return None if run is None else [next(n for n, b in enumerate(blocks) if b is each) for each in run]


@pytest.mark.parametrize(
    ("blocks", "run"),
    [
        ([], None),
        ([block_of(8)] * 1, None),
        ([block_of(8) for _ in range(3)], None),
        ([block_of(8) for _ in range(4)], [0, 1, 2, 3]),
        ([block_of(32, is_mapped=True), *[block_of(8) for _ in range(5)]], [1, 2, 3, 4]),
        ([block_of(8), block_of(32, is_mapped=True), *[block_of(8) for _ in range(3)]], None),
        ([block_of(32, 8, is_mapped=True), block_of(8)], None),
        ([block_of(32, 9, is_mapped=True)], [0]),
        ([block_of(32, 9, is_mapped=True), block_of(8), block_of(8)], [0, 1]),
        ([block_of(32, 20, is_mapped=True), block_of(32, 20, is_mapped=True)], [0, 1]),
        ([block_of(8, 3), block_of(3)], [0, 1]),
        ([block_of(8, 3), block_of(4)], [0]),
        ([block_of(8, 8)], [0]),
    ],
)
def test_blocks_are_written_anew_when_they_fill_a_file_or_have_gaps(
    blocks: list[Block], run: list[int] | None
) -> None:
    assert run_of(*blocks) == run
