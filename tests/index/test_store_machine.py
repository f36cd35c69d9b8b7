"""Random histories of a collection against a dict and numpy, restarts included."""

import asyncio
import shutil
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from index import planner
from index.catalog import open_catalog
from index.collection import Collection
from index.filters import parse_filter
from index.growth import GraphTuning
from index.rows import CollectionSettings, Document, DocumentPatch, Passage, Query

DIM = 4
ids = st.sampled_from([f"d{n}" for n in range(12)])
sizes = st.integers(0, 6)
seeds = st.integers(0, 10_000)


def vectors_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


class StoreMachine(RuleBasedStateMachine):
    """``self.expected`` maps a document's id to its seed, its vectors and its group."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(planner, "ROWS_PER_CANDIDATE", 0)  # a graph is used as soon as there is one
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.expected: dict[str, tuple[int, np.ndarray, int]] = {}
        self.open()

    def open(self) -> None:
        self.stack = AsyncExitStack()
        self.collection: Collection = self.runner.run(self._open())

    async def _open(self) -> Collection:
        tuning = GraphTuning(threshold=10, m=8, ef_construction=60, snapshot_rows=5)
        catalog = await self.stack.enter_async_context(open_catalog(self.folder, tuning))
        return (await catalog.create(CollectionSettings("notes", DIM)))[0]

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)
        self.patch.undo()

    @rule(names=st.lists(ids, max_size=4), size=sizes, seed=seeds)
    def upsert(self, names: list[str], size: int, seed: int) -> None:
        vectors, group = vectors_of(seed, size), seed % 3
        passages = tuple(
            Passage(f"word{seed}", 0, 9, vector, token_vectors=vector.tobytes() if seed % 2 else None)
            for vector in vectors
        )
        self.runner.run(
            self.collection.upsert([Document(n, n, f"word{seed}", {"group": group}, passages) for n in names])
        )
        self.expected |= dict.fromkeys(names, (seed, vectors, group))

    @rule(names=st.lists(ids, max_size=4))
    def delete(self, names: list[str]) -> None:
        deleted = self.runner.run(self.collection.delete(names))
        assert deleted == len(set(names) & set(self.expected))
        self.expected = {name: value for name, value in self.expected.items() if name not in names}

    @rule(name=ids, group=st.integers(0, 2))
    def patch_the_group(self, name: str, group: int) -> None:
        patched = self.runner.run(self.collection.patch(name, DocumentPatch({"group": group})))
        assert (patched is not None) == (name in self.expected)
        if patched is not None:
            self.expected[name] = (*self.expected[name][:2], group)

    @rule(name=ids)
    def expire(self, name: str) -> None:
        over = DocumentPatch(expires_at="2001-01-01T00:00:00.000Z")
        assert (self.runner.run(self.collection.patch(name, over)) is not None) == (name in self.expected)
        self.expected.pop(name, None)

    @rule(group=st.integers(0, 2))
    def delete_a_group(self, group: int) -> None:
        deleted = self.runner.run(self.collection.delete_matching(parse_filter({"group": group})))
        kept = {name: value for name, value in self.expected.items() if value[2] != group}
        assert deleted == len(self.expected) - len(kept)
        self.expected = kept

    @rule()
    def restart(self) -> None:
        self.runner.run(self.stack.aclose())
        self.open()

    @rule()
    def let_the_graph_catch_up(self) -> None:
        self.runner.run(self.collection.graph_settled())

    @rule(
        k=st.integers(1, 80), seed=seeds, group=st.one_of(st.none(), st.integers(0, 2)), exact=st.booleans()
    )
    def search(self, k: int, seed: int, group: int | None, exact: bool) -> None:
        query = vectors_of(seed, 1)[0]
        condition = None if group is None else parse_filter({"group": group})
        result = self.runner.run(
            self.collection.search(
                Query(k, vector=query, filter=condition, exact=exact, with_token_vectors=True)
            )
        )
        for hit in result.hits:
            its_seed, vectors, _ = self.expected[hit.document_id]
            packed = vectors[int(hit.id.rpartition("#")[2])].tobytes()
            assert hit.token_vectors == (packed if its_seed % 2 else None)
        scores = {
            f"{name}#{n}": float(row @ query / np.linalg.norm(row) / np.linalg.norm(query))
            for name, (_, vectors, its_group) in self.expected.items()
            for n, row in enumerate(vectors)
            if group in (None, its_group)
        }
        best = sorted(scores.values(), reverse=True)[:k]
        found = [hit.score for hit in result.hits]
        assert len({hit.id for hit in result.hits}) == len(found) == len(best)
        np.testing.assert_allclose(found, [scores[hit.id] for hit in result.hits], atol=1e-5)
        if not result.plan.endswith("graph"):  # which may miss a near one, but not return a wrong one
            np.testing.assert_allclose(found, best, atol=1e-5)

    @rule(name=ids)
    def search_by_words(self, name: str) -> None:
        seed = self.expected[name][0] if name in self.expected else 99_999
        result = self.runner.run(self.collection.search(Query(100, text=f"word{seed}")))
        expected = {
            f"{other}#{n}"
            for other, (its_seed, vectors, _) in self.expected.items()
            for n in range(len(vectors))
            if its_seed == seed
        }
        assert {hit.id for hit in result.hits} == expected

    @rule(limit=st.integers(1, 9))
    def scroll(self, limit: int) -> None:
        seen, after = [], None
        while True:
            page, after = self.runner.run(self.collection.scroll(limit, after))
            seen += [point.id for point in page]
            if after is None:
                break
        every = [
            f"{name}#{n}" for name, (_, vectors, _) in self.expected.items() for n in range(len(vectors))
        ]
        assert sorted(seen) == sorted(every)

    @rule()
    def count_groups(self) -> None:
        sizes: Counter[int] = Counter()
        for _, vectors, group in self.expected.values():
            sizes[group] += len(vectors)
        found = self.runner.run(self.collection.facets("group", 10))
        assert {one.value: one.points for one in found.values} == +sizes

    @invariant()
    def the_same_documents_are_there(self) -> None:
        listed = self.runner.run(self.collection.documents(100))
        assert [d.id for d in listed] == sorted(self.expected)
        assert self.runner.run(self.collection.count()) == sum(len(v) for _, v, _ in self.expected.values())


StoreMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreMachine = StoreMachine.TestCase
