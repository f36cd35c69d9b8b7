"""Small collections on real SQLite: a graph from 60 rows on, and vectors of 8 numbers."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from backups import fill

from index.backup import back_up
from index.catalog import Catalog, open_catalog
from index.collection import Collection
from index.graph import Graph, GraphShape
from index.growth import GraphTuning
from index.one_thread import OneThread
from index.rows import CollectionSettings, Document, Passage

DIM = 8
TUNING = GraphTuning(threshold=60, m=8, ef_construction=60, snapshot_rows=1000)


def vector_of(seed: int) -> np.ndarray:
    """A vector that belongs to a number."""
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float32)


def document_of(id_: str, *seeds: int, **fields: object) -> Document:
    """A document with one passage for each seed; its words are "word<seed>"."""
    text = " ".join(f"word{seed}" for seed in seeds)
    passages, start = [], 0
    for seed in seeds:
        word = f"word{seed}"
        passages.append(Passage(word, start, start + len(word), vector_of(seed), tokens=1))
        start += len(word) + 1
    defaults = {"title": f"Title of {id_}", "text": text, "metadata": {}, "passages": tuple(passages)}
    return Document(**{"id": id_, **defaults, **fields})


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with open_catalog(tmp_path, TUNING) as opened:
        yield opened


@pytest.fixture
async def collection(catalog: Catalog) -> Collection:
    made, _ = await catalog.create(CollectionSettings("notes", DIM))
    return made


@pytest.fixture
def make_document() -> Callable[..., Document]:
    return document_of


@pytest.fixture
def make_vector() -> Callable[[int], np.ndarray]:
    return vector_of


@pytest.fixture
def tuning() -> GraphTuning:
    return TUNING


@pytest.fixture
async def empty_graph() -> AsyncIterator[Callable[[], Graph]]:
    """Makes empty graphs of the shape that small collections have."""
    thread = OneThread("graphs")
    yield lambda: Graph(GraphShape(DIM, "cosine", TUNING.m, TUNING.ef_construction), thread)
    await thread.close()


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A closed data folder that has everything a backup is made of."""
    return await fill(tmp_path / "data", document_of)


@pytest.fixture
def backup(data: Path, tmp_path: Path) -> Path:
    """A backup of that folder."""
    back_up(data, tmp_path / "backup")
    return tmp_path / "backup"
