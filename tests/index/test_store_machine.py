"""Random histories of a collection against a dict and numpy: writes, expiry, restarts, kills, restores."""

import asyncio
import shutil
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store_model import DIM, Known, Model, copy_as_it_lies, document_of, points_of, vectors_of

from index import planner, truth, upkeep, vectors
from index.backup import back_up
from index.catalog import Catalog, open_catalog
from index.check import check_folder
from index.collection import Collection
from index.errors import InvalidCursor, InvalidVector, VersionConflict
from index.filters import parse_filter
from index.growth import GraphTuning
from index.restore import restore
from index.rows import CollectionSettings, DocumentPatch, Passage, Query
from index.upkeep import UpkeepTuning

BLOCK_ROWS = 8
PAST = "2001-01-01T00:00:00.000Z"
ids = st.sampled_from([f"d{n}" for n in range(10)] + ["p0", "p1"])
groups = st.integers(0, 2)
seeds = st.integers(0, 10_000)
conditions = st.one_of(
    st.none(),
    st.fixed_dictionaries({"group": groups}),
    st.fixed_dictionaries({"group": st.fixed_dictionaries({"$ne": groups})}),
    st.builds(lambda group, name: {"$or": [{"group": group}, {"document_id": name}]}, groups, ids),
    st.builds(lambda group: {"tags": {"$not_contains": f"tag{group}"}, "group": {"$lte": 1}}, groups),
)


class StoreMachine(RuleBasedStateMachine):
    """``self.model`` says what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        self.patches.setattr(planner, "ROWS_PER_COMPARED", 1e-6)  # a graph is used as soon as there is one
        for module in (vectors, upkeep, truth):
            self.patches.setattr(module, "BLOCK_ROWS", BLOCK_ROWS)  # and files are mapped from the first rows
        self.folder = Path(tempfile.mkdtemp())
        self.data = self.folder / "data0"
        self.numbers = count(1)
        self.runner = asyncio.Runner()
        self.model = Model()
        self.backup: tuple[Path, dict[str, Known]] | None = None
        self.cursor: tuple[str, tuple[int, int]] | None = None

    @initialize(erase_after_s=st.sampled_from([0.0, 10.0]), seed=seeds)
    def start(self, erase_after_s: float, seed: int) -> None:
        self.upkeep = UpkeepTuning(file_bytes=2 * 4 * DIM * BLOCK_ROWS, erase_after_s=erase_after_s)
        self.open()
        self.upsert([f"d{n}" for n in range(10)], 4, seed)

    def open(self) -> None:
        self.stack = AsyncExitStack()
        self.catalog, self.collection = self.runner.run(self._open())

    async def _open(self) -> tuple[Catalog, Collection]:
        tuning = GraphTuning(threshold=10, m=8, ef_construction=60, snapshot_rows=5)
        catalog = await self.stack.enter_async_context(open_catalog(self.data, tuning, self.upkeep))
        return catalog, (await catalog.create(CollectionSettings("notes", DIM)))[0]

    def close(self) -> None:
        self.runner.run(self.stack.aclose())

    def teardown(self) -> None:
        self.close()
        self.runner.close()
        shutil.rmtree(self.folder)
        self.patches.undo()

    @rule(names=st.lists(ids, max_size=8), size=st.integers(0, 6), seed=seeds)
    def upsert(self, names: list[str], size: int, seed: int) -> None:
        documents = [document_of(name, seed, size) for name in names]
        self.runner.run(self.collection.upsert(documents))
        self.model.upsert(documents, seed)

    @rule(name=ids, version=st.integers(0, 3), seed=seeds)
    def upsert_for_a_version(self, name: str, version: int, seed: int) -> None:
        other, document = document_of("d0", seed, 1), document_of(name, seed, 1, if_version=version)
        if name != "d0" and version != self.model.version_of(name):
            with pytest.raises(VersionConflict):
                self.runner.run(self.collection.upsert([other, document]))
        elif version == self.model.version_of(name):
            self.runner.run(self.collection.upsert([document]))
            self.model.upsert([document], seed)

    @rule(names=st.lists(ids, min_size=1, max_size=3), seed=seeds)
    def upsert_what_cannot_be_stored(self, names: list[str], seed: int) -> None:
        bad = replace(document_of("d9", seed, 1), passages=(Passage("x", 0, 1, np.full(DIM, np.nan)),))
        documents = [document_of(name, seed, 1) for name in names if name != "d9"]
        with pytest.raises(InvalidVector):
            self.runner.run(self.collection.upsert([*documents, bad]))

    @rule(names=st.lists(ids, max_size=4), version=st.one_of(st.none(), st.integers(1, 3)))
    def delete(self, names: list[str], version: int | None) -> None:
        if version is not None and any(self.model.version_of(name) != version for name in names):
            with pytest.raises(VersionConflict):
                self.runner.run(self.collection.delete(names, {version}))
            return
        deleted = self.runner.run(self.collection.delete(names, None if version is None else {version}))
        assert deleted == len(set(names) & set(self.model.documents))
        self.model.delete(names)

    @rule(condition=conditions.filter(bool))
    def delete_what_matches(self, condition: dict[str, Any]) -> None:
        names = self.model.matching(condition)
        assert self.runner.run(self.collection.delete_matching(parse_filter(condition))) == len(names)
        self.model.delete(names)

    @rule(name=ids, group=groups, title=st.sampled_from([None, "zebra"]))
    def patch(self, name: str, group: int, title: str | None) -> None:
        patched = self.runner.run(self.collection.patch(name, DocumentPatch({"group": group}, title)))
        assert (patched is not None) == (name in self.model.documents)
        if patched is not None:
            known = self.model.patch(name, {"group": group})
            assert (patched.version, patched.metadata) == (known.version, known.metadata)

    @rule(name=ids)
    def expire(self, name: str) -> None:
        over = DocumentPatch(expires_at=PAST)
        assert (self.runner.run(self.collection.patch(name, over)) is not None) == (
            name in self.model.documents
        )
        self.model.delete([name])

    @rule(name=ids, seed=seeds)
    def upsert_what_has_expired(self, name: str, seed: int) -> None:
        self.runner.run(self.collection.upsert([document_of(name, seed, 1, expires_at=PAST)]))
        self.model.delete([name])

    @rule()
    def restart(self) -> None:
        self.close()
        report = check_folder(self.data)
        assert report.whole, report.problems
        self.open()

    @rule()
    def kill(self) -> None:
        """Go on from the files as they lie there; nothing may have been left to the closing."""
        after = self.folder / f"data{next(self.numbers)}"
        # Between two commits, since the copies of the file and of its log must be of one moment.
        self.runner.run(self.collection._writer.between(lambda _: copy_as_it_lies(self.data, after)))
        self.close()
        self.data = after
        self.open()

    @rule()
    def back_up(self) -> None:
        target = self.folder / f"backup{next(self.numbers)}"
        back_up(self.data, target)
        self.backup = target, dict(self.model.documents)

    @precondition(lambda self: self.backup is not None)
    @rule()
    def restore(self) -> None:
        assert self.backup is not None
        self.close()
        assert restore(self.backup[0], self.data, replace=True) == ["notes"]
        self.model.documents = dict(self.backup[1])
        self.open()
        if self.cursor is not None:
            with pytest.raises(InvalidCursor):
                self.runner.run(self.collection.scroll(1, self.cursor[0]))
            self.cursor = None

    @rule()
    def drop_from_memory(self) -> None:
        self.runner.run(self.collection.memory.drop())

    @rule(k=st.integers(1, 5), seed=seeds, condition=conditions)
    def search_the_graph(self, k: int, seed: int, condition: dict[str, Any] | None) -> None:
        self.runner.run(self.collection.graph_settled())
        self.search(k, seed, condition, exact=False, words=False)

    @rule(k=st.integers(1, 80), seed=seeds, condition=conditions, exact=st.booleans(), words=st.booleans())
    def search(
        self, k: int, seed: int, condition: dict[str, Any] | None, *, exact: bool, words: bool
    ) -> None:
        query = vectors_of(seed, 1)[0]
        asked = Query(
            k,
            vector=query,
            text="word1 zebra" if words else None,
            filter=None if condition is None else parse_filter(condition),
            exact=exact,
            with_vectors=True,
            with_token_vectors=True,
        )
        result = self.runner.run(self.collection.search(asked))
        points = points_of(self.model.matching(condition))
        for hit in result.hits:
            known = self.model.documents[hit.document_id]
            assert hit.vector is not None
            assert hit.vector.tobytes() == points[hit.id].tobytes()
            assert hit.token_vectors == (hit.vector.tobytes() if known.seed % 2 else None)
            assert (hit.metadata, hit.text) == (known.metadata, f"word{known.seed}")
        scores = {
            id_: float(row @ query / np.linalg.norm(row) / np.linalg.norm(query))
            for id_, row in points.items()
        }
        found = [hit.scores["dense"] for hit in result.hits]
        assert len({hit.id for hit in result.hits}) == len(found) == min(k, len(scores))
        np.testing.assert_allclose(found, [scores[hit.id] for hit in result.hits], atol=1e-5)
        if not words and not result.plan.endswith("graph"):  # which may miss a near one
            np.testing.assert_allclose(found, sorted(scores.values(), reverse=True)[:k], atol=1e-5)

    @rule(name=ids, condition=conditions)
    def search_by_words(self, name: str, condition: dict[str, Any] | None) -> None:
        seed = self.model.documents[name].seed if name in self.model.documents else 99_999
        tree = None if condition is None else parse_filter(condition)
        result = self.runner.run(self.collection.search(Query(100, text=f"word{seed}", filter=tree)))
        having = {name: known for name, known in self.model.matching(condition).items() if known.seed == seed}
        assert {hit.id for hit in result.hits} == set(points_of(having))

    @rule(limit=st.integers(1, 9), condition=conditions)
    def scroll(self, limit: int, condition: dict[str, Any] | None) -> None:
        seen, after = [], None
        tree = None if condition is None else parse_filter(condition)
        while True:
            page, after = self.runner.run(self.collection.scroll(limit, after, tree, with_vectors=True))
            seen += [(point.id, point.version, point.vector.tobytes()) for point in page]
            if after is None:
                break
        assert seen == [
            (id_, self.model.version_of(id_.partition("#")[0]), row.tobytes())
            for id_, row in points_of(self.model.matching(condition)).items()
        ]

    @rule(limit=st.integers(1, 5))
    def begin_to_scroll(self, limit: int) -> None:
        page, cursor = self.runner.run(self.collection.scroll(limit))
        if cursor is not None:
            name, _, n = page[-1].id.partition("#")
            self.cursor = cursor, (self.model.documents[name].written, int(n or 0))

    @precondition(lambda self: self.cursor is not None)
    @rule()
    def go_on_scrolling(self) -> None:
        assert self.cursor is not None
        page, after = self.runner.run(self.collection.scroll(999, self.cursor[0]))
        assert ([point.id for point in page], after) == (self.model.behind(*self.cursor[1]), None)

    @rule(condition=conditions)
    def count_groups(self, condition: dict[str, Any] | None) -> None:
        tree = None if condition is None else parse_filter(condition)
        sizes: Counter[int] = Counter()
        for known in self.model.matching(condition).values():
            sizes[known.group] += len(known.vectors)
        found = self.runner.run(self.collection.facets("group", 10, tree))
        assert {one.value: one.points for one in found.values} == +sizes
        assert self.runner.run(self.collection.count(tree)) == sizes.total()

    @invariant()
    def the_same_documents_are_there(self) -> None:
        if hasattr(self, "collection"):
            listed = self.runner.run(self.collection.documents(100))
            found = {document.id: (document.version, document.metadata) for document in listed}
            assert found == {name: (one.version, one.metadata) for name, one in self.model.documents.items()}
            assert list(found) == sorted(found)
            self.search(3, len(found), None, exact=False, words=False)


StoreMachine.TestCase.settings = settings(
    max_examples=settings().max_examples // 4,
    stateful_step_count=max(30, settings().stateful_step_count // 2),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestStoreMachine = StoreMachine.TestCase
