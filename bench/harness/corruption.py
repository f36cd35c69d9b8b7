"""Spoiled caches: whatever becomes of the files beside ``truth.db``, answers are right.

A small collection with a stored graph and mapped vectors is made once. Each trial copies it, spoils one of
those files in one random way, opens it, asks, waits for the graph, asks again, and has the folder checked.
"""

import asyncio
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index import planner
from index.catalog import open_catalog
from index.check import check_folder
from index.collection import Collection
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, Passage, Query
from index.upkeep import UpkeepTuning
from index.vectors import BLOCK_ROWS

DIM = 4
ROWS = 9_000  # two blocks and more, so that there is a mapped file
QUERIES = 8
K = 10
LEAST_RECALL = 0.8
NAME = "notes"
_TUNING = GraphTuning(threshold=1_000, m=4, ef_construction=24, snapshot_rows=1_000)
_UPKEEP = UpkeepTuning(file_bytes=2 * 4 * DIM * BLOCK_ROWS)
_CACHES = ("graph.json", "graph-*.hnsw", "vectors-*.f32")


@dataclass(frozen=True, slots=True)
class Patient:
    """A sound data folder and what its answers must be."""

    folder: Path
    ids: list[str]
    vectors: npt.NDArray[np.float64]
    queries: npt.NDArray[np.float32]


async def make_patient(folder: Path) -> Patient:
    """Made of random vectors, a fifth of them deleted, closed."""
    planner.ROWS_PER_COMPARED = 1e-6  # type: ignore[misc, assignment] # so that a graph of this size is worth asking
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(ROWS, DIM)).astype(np.float32)
    documents = [
        Document(f"p{n}", "", None, {}, (Passage(None, 0, 0, vector),), is_point=True)
        for n, vector in enumerate(vectors)
    ]
    async with open_catalog(folder, _TUNING, _UPKEEP) as catalog:
        collection, _ = await catalog.create(CollectionSettings(NAME, DIM))
        await collection.upsert(documents)
        await collection.delete([f"p{n}" for n in range(0, ROWS, 10)])
        await collection.graph_settled()
        # Nobody tells when a file is mapped.
        while not list((folder / "collections" / NAME).glob(_CACHES[-1])):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    kept = [n for n in range(ROWS) if n % 10]
    rows = vectors[kept].astype(np.float64)
    queries = rng.normal(size=(QUERIES, DIM)).astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return Patient(folder, [f"p{n}" for n in kept], rows / lengths, queries)


async def trial(patient: Patient, scratch: Path, chance: random.Random) -> str:
    """What was done to which file.

    Raises:
        AssertionError: an answer was wrong, or a file was not made anew.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(patient.folder, scratch)
    done = spoil(scratch / "collections" / NAME, chance)
    async with open_catalog(scratch, _TUNING, _UPKEEP) as catalog:
        collection = await catalog.get(NAME)
        await _ask(patient, collection, done)
        await collection.graph_settled()
        plans = await _ask(patient, collection, done)
        assert plans == {"graph"}, f"{done}: after the rebuild {plans} answered"
    report = await asyncio.to_thread(check_folder, scratch)
    assert not report.problems, f"{done}: {report.problems}"
    return done


async def _ask(patient: Patient, collection: Collection, done: str) -> set[str]:
    """The plans that answered; every score is a true one, and nearly all of the nearest are found."""
    plans, found = set(), 0
    for query in patient.queries:
        result = await collection.search(Query(K, vector=query))
        cosines = patient.vectors @ (query / np.linalg.norm(query))
        true = dict(zip(patient.ids, cosines.tolist(), strict=True))
        nearest = {patient.ids[place] for place in np.argsort(-cosines)[:K]}
        ids = [hit.id for hit in result.hits]
        assert len(set(ids)) == K, f"{done}: {ids}"
        assert all(abs(hit.score - true[hit.id]) < 1e-5 for hit in result.hits), f"{done}: a wrong score"
        assert result.plan != "exact" or set(ids) == nearest, f"{done}: {ids} are not the nearest"
        found += len(nearest & set(ids))
        plans.add(result.plan)
    assert found >= LEAST_RECALL * K * QUERIES, f"{done}: only {found} of {K * QUERIES} were found"
    return plans


def spoil(folder: Path, chance: random.Random) -> str:
    """Spoil one of the caches in a collection's folder; what was done to which."""
    path = chance.choice([path for pattern in _CACHES for path in sorted(folder.glob(pattern))])
    way = chance.choice(_WAYS)
    way(path, chance)
    return f"{path.name}: {way.__name__.lstrip('_')}"


def _flip_a_bit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _overwrite_a_piece(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content))
    size = min(chance.choice([1, 8, 512, 4096, 100_000]), len(content) - start)
    content[start : start + size] = chance.choice([bytes(size), b"\xff" * size, chance.randbytes(size)])
    if content == path.read_bytes():
        content[start] ^= 1
    path.write_bytes(content)


def _cut_short(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def _lengthen(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.choice([1, 4096])))


def _repeat_a_piece(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    at = chance.randrange(len(content))
    path.write_bytes(content[:at] + content[at // 2 :])


def _replace_by_noise(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(path.stat().st_size))


def _remove(path: Path, _: random.Random) -> None:
    path.unlink()


_WAYS: tuple[Callable[[Path, random.Random], None], ...] = (
    _flip_a_bit,
    _overwrite_a_piece,
    _cut_short,
    _lengthen,
    _repeat_a_piece,
    _replace_by_noise,
    _remove,
)
