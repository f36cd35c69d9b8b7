"""Attributes in memory: they follow every change, cost nothing unasked, and are read from the truth."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documents_file import truth_with
from hypothesis import given, settings
from hypothesis import strategies as st

from index import attributes, points, postings
from index.attributes import Attributes, Columns
from index.catalog import Catalog
from index.collection import Collection
from index.errors import CollectionNotFound, StorageFailed
from index.filter_match import matches
from index.filters import Compared, Contains, OneOf, parse_filter
from index.postings import Column, make_run
from index.rows import Document, DocumentPatch, Query
from index.writer import Change, WrittenDocuments

Make = Callable[..., Document]


async def followed() -> None:
    """Nothing is on its way."""


values = st.sampled_from(["x", "xy", 1, 2, 2.5, True, None, ["x", 1], ["xy"], []])
metadata = st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2)
questions = st.sampled_from(
    [
        {"a": "x"},
        {"a": {"$ne": 1}},
        {"b": {"$gte": 2}},
        {"a": {"$contains": "x"}, "b": {"$exists": False}},
        {"$or": [{"a": {"$in": [1, "xy"]}}, {"document_id": "d1"}]},
        {},
    ]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(metadata, min_size=1, max_size=4)),
        st.tuples(st.just("patch"), st.tuples(st.integers(1, 30), metadata)),
        st.tuples(st.just("remove"), st.sets(st.integers(1, 30), max_size=4)),
        st.tuples(st.just("ask"), questions),
    ),
    max_size=25,
)


@given(steps=steps, last=questions)
@settings(max_examples=150, deadline=None)
def test_columns_follow_every_change(steps: list, last: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch, truth_with([("d0", {})]) as (path, connection):
        patch.setattr(attributes, "MAX_RECENT", 3)
        patch.setattr(attributes, "MAX_WORN", 6)
        for module in (attributes, postings):
            patch.setattr(module, "RUN_DOCUMENTS", 5)
        model: dict[int, tuple[str, dict[str, Any]]] = {0: ("d0", {})}
        columns = Columns(path, threading.Event())
        for what, value in [*steps, ("ask", last)]:
            if what == "ask":
                tree = parse_filter(value)
                expected = [key for key, (id_, held) in model.items() if matches(tree, id_, held)]
                assert columns.matching(tree).tolist() == sorted(expected)
            else:
                gone, written = _change(model, what, value)
                _commit(connection, gone, written)
                columns.changes.append((gone, written))


def _change(model: dict, what: str, value: Any) -> tuple[list[int], WrittenDocuments | None]:
    """Change the model, and say how."""
    if what == "remove":
        gone = [key for key in value if model.pop(key, None)]
        return gone, None
    if what == "patch":
        key, new = value
        rows = {key: (f"d{key % 5}", new)} if key in model else {}
    else:
        first = 1 + max(model, default=0)
        rows = {first + n: (f"d{(first + n) % 5}", new) for n, new in enumerate(value)}
    model.update(rows)
    return [], WrittenDocuments(
        list(rows),
        [id_ for id_, _ in rows.values()],
        [json.dumps(held) for _, held in rows.values()],
        ["[]"] * len(rows),
    )


def _commit(connection: sqlite3.Connection, gone: list[int], written: WrittenDocuments | None) -> None:
    connection.executemany("DELETE FROM documents WHERE key = ?", [(key,) for key in gone])
    if written is not None:
        rows = zip(written.keys, written.ids, written.metadata, written.acls, strict=True)
        connection.executemany("REPLACE INTO documents VALUES (?, ?, ?, ?)", rows)
    connection.commit()


def test_what_was_read_ahead_of_its_change_is_taken_on_once() -> None:
    with truth_with([("a", {"n": 1}), ("b", {"n": 2})]) as (path, connection):
        columns = Columns(path, threading.Event())
        written = WrittenDocuments([1, 2], ["b", "c"], ['{"n":1}'] * 2, ["[]"] * 2)
        _commit(connection, [0], written)
        assert columns.matching(parse_filter({"n": 1})).tolist() == [1, 2]
        columns.changes.append(([0], written))
        assert columns.matching(parse_filter({"n": 1})).tolist() == [1, 2]
        assert columns.matching(parse_filter({"n": {"$ne": 1}})).tolist() == []


def test_a_worn_column_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_RECENT", "MAX_WORN"):
        monkeypatch.setattr(attributes, name, 0)
    with truth_with([("a", {"n": 1}), ("b", {"n": 1})]) as (path, connection):
        columns = Columns(path, threading.Event())
        ones = parse_filter({"n": 1})
        columns.matching(ones)
        fresh = columns.memory_bytes
        for n in range(9):
            written = WrittenDocuments([0], ["a"], [json.dumps({"n": n % 2})], ["[]"])
            _commit(connection, [], written)
            columns.changes.append(([], written))
            assert columns.matching(ones).tolist() == ([0, 1] if n % 2 else [1])
        assert columns.memory_bytes <= 2 * fresh + 100


def test_answers_are_kept_apart_by_type_and_not_for_ever() -> None:
    column = Column([make_run([(1, 1), (2, True), (3, "1"), (4, [1, True])])])
    assert list(column.matching(OneOf("a", (1,)))) == [1]
    assert list(column.matching(OneOf("a", (True,)))) == [2]
    assert list(column.matching(Contains("a", "1"))) == [3]
    for n in range(2 * postings.MAX_ANSWERS):
        assert list(column.matching(Compared("a", "$gt", n))) == ([1] if n < 1 else [])
    column.replace([1, 4], [(4, 9)])
    assert list(column.matching(OneOf("a", (1, 9)))) == [4]


def test_more_choices_than_values_are_looked_up_the_other_way() -> None:
    column = Column([make_run([(1, 5), (2, 500), (3, "5")])])
    assert list(column.matching(OneOf("a", tuple(range(100))))) == [1]


async def test_a_write_is_in_the_next_filtered_search(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    red = Query(9, vector=make_vector(1), filter=parse_filter({"colour.name": "red"}))
    assert (await collection.search(red)).hits == ()
    await collection.upsert([make_document(f"d{n}", n, metadata=_colour("red")) for n in range(4)])
    assert len((await collection.search(red)).hits) == 4
    await collection.upsert([make_document("d1", 1, metadata=_colour("blue"))])
    await collection.patch("d2", DocumentPatch(metadata=_colour("blue")))
    await collection.delete(["d3"])
    assert [hit.document_id for hit in (await collection.search(red)).hits] == ["d0"]
    await collection.patch("d1", DocumentPatch(metadata=_colour("red")))
    assert {hit.document_id for hit in (await collection.search(red)).hits} == {"d0", "d1"}


def _colour(name: str) -> dict[str, Any]:
    return {"colour": {"name": name}}


async def test_a_hit_whose_metadata_changed_on_the_way_is_searched_again(
    collection: Collection, make_document: Make, make_vector: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    await collection.upsert([make_document(f"d{n}", n, metadata=_colour("red")) for n in range(3)])
    join = points.by_seq
    joins = 0

    async def late(*arguments: Any, **options: Any) -> Any:
        nonlocal joins
        joins += 1
        if joins == 1:
            await collection.patch("d1", DocumentPatch(metadata=_colour("blue")))
        return await join(*arguments, **options)

    monkeypatch.setattr(points, "by_seq", late)
    red = Query(9, vector=make_vector(1), filter=parse_filter({"colour.name": "red"}))
    assert {hit.document_id for hit in (await collection.search(red)).hits} == {"d0", "d2"}
    assert joins == 2


async def test_a_collection_that_is_not_filtered_pays_nothing(
    collection: Collection, make_document: Make, make_vector: Callable
) -> None:
    await collection.upsert([make_document("d1", 1, metadata={"n": 1})])
    await collection.search(Query(1, vector=make_vector(1)))
    async with collection.memory.in_use() as memory:
        assert memory.attributes.memory_bytes == 0
        await collection.search(Query(1, vector=make_vector(1), filter=parse_filter({"n": 1})))
        assert memory.attributes.memory_bytes > 0


async def test_what_nobody_asks_for_any_more_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "MAX_WAITING", 300)
    with truth_with([("a", {"n": 1})]) as (path, connection):
        known = Attributes(path.parent, "notes", followed)
        ones = parse_filter({"n": 1})
        assert (await known.matching(ones)).tolist() == [0]
        written = WrittenDocuments([1, 2, 3], ["b", "c", "d"], ['{"n":1}'] * 3, ["[]"] * 3)
        _commit(connection, [], written)
        known.follow(Change(None, written=written))
        assert known.memory_bytes == 0
        known.follow(Change(None, gone=[2]))
        _commit(connection, [2], None)
        assert (await known.matching(ones)).tolist() == [0, 1, 3]
        known.close()


def changing(monkeypatch: pytest.MonkeyPatch, known: Attributes, changes: list[Change]) -> list[None]:
    """Let one of ``changes`` come each time that columns have answered; gives how often they were asked."""
    loop, ask, asked = asyncio.get_running_loop(), Columns.matching, []

    def late(columns: Columns, tree: Any) -> Any:
        asked.append(None)
        found = ask(columns, tree)
        if changes:
            loop.call_soon_threadsafe(known.follow, changes.pop(0))
        return found

    monkeypatch.setattr(Columns, "matching", late)
    return asked


def written(*documents: tuple[int, str, str]) -> WrittenDocuments:
    keys, ids, metadata = zip(*documents, strict=True)
    return WrittenDocuments(keys, ids, metadata, ["[]"] * len(keys))


async def test_a_change_while_it_is_asked_is_in_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with truth_with([("a", {"n": 1}), ("b", {"n": 1}), ("c", {"n": 2}), ("d", {"n": 1})]) as (path, _):
        known = Attributes(path.parent, "notes", followed)
        late = written((4, "a", '{"n":1}'), (1, "b", '{"n":2}'), (2, "c", '{"n":1}'), (5, "e", '{"n":2}'))
        asked = changing(monkeypatch, known, [Change(None, gone=[0], written=late)])
        assert (await known.matching(parse_filter({"n": 1}))).tolist() == [2, 3, 4]
        assert len(asked) == 1
        known.close()


async def test_however_much_changes_while_it_is_asked_the_answer_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attributes, "MAX_RECENT", 0)
    with truth_with([("a", {"n": 1})]) as (path, _):
        known = Attributes(path.parent, "notes", followed)
        changes = [Change(None, gone=[n], written=written((n + 1, "a", '{"n":1}'))) for n in range(9)]
        asked = changing(monkeypatch, known, changes)
        assert (await known.matching(parse_filter({"n": 1}))).tolist() == [len(asked)]
        known.close()


async def test_what_is_read_ahead_of_its_change_does_not_hide_what_it_replaced() -> None:
    """The reader of the truth can be faster than the writer's word to everybody."""
    with truth_with([("a", {"n": 1})]) as (path, connection):
        change = Change(None, gone=[0], written=written((1, "a", '{"n":1}')))
        heard: list[Change] = []

        async def heard_at_last() -> None:
            heard.append(change)
            known.follow(change)

        known = Attributes(path.parent, "notes", heard_at_last)
        _commit(connection, [0], change.written)
        assert (await known.matching(parse_filter({"n": 1}))).tolist() == [1]
        assert heard == [change]
        known.close()


async def test_closed_while_it_reads_it_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with truth_with([("a", {"n": 1})]) as (path, _):
        known = Attributes(path.parent, "notes", followed)

        def ending(columns: Columns, tree: Any) -> Any:
            known._ended.set()
            return np.array([len(page) for page in columns._pages()])

        monkeypatch.setattr(Columns, "matching", ending)
        for _ in range(2):
            with pytest.raises(CollectionNotFound):
                await known.matching(parse_filter({"n": 1}))
        known.close()


async def test_a_truth_that_cannot_be_read_is_a_typed_error(tmp_path: Path) -> None:
    known = Attributes(tmp_path, "notes", followed)
    with pytest.raises(StorageFailed):
        await known.matching(parse_filter({"n": 1}))
    known.close()


async def test_large_and_small_sets_of_matches_are_found_by_words(
    catalog: Catalog, collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a list of their rows, or by what is left of all rows that have the words."""
    await collection.upsert(
        [make_document(f"d{n}", *([1] * (30 - n)), metadata={"n": n, "odd": n % 2 == 1}) for n in range(30)]
    )
    asked = [({"odd": True}, 5), ({"n": {"$gte": 27}}, 5), ({"n": {"$gte": 27}}, 2), ({}, 50)]
    queries = [Query(k, text="word1", mode="lexical", filter=parse_filter(source)) for source, k in asked]
    listed = [(await collection.search(query)).hits for query in queries]
    assert [len(hits) for hits in listed] == [5, 5, 2, 50]
    monkeypatch.setattr("index.attributes.MATCHED_INLINE", 0)
    assert [(await collection.search(query)).hits for query in queries] == listed
    monkeypatch.setattr("index.word_scores.LEAST_ROWS", 0)
    assert [(await collection.search(query)).hits for query in queries] == listed
    assert (await collection.search(queries[0])).plan == "filtered-lexical"


def test_columns_that_nobody_asked_for_lately_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "MAX_COLUMNS", 4)
    with truth_with([("a", {"k0": 1, "k1": 1}), ("b", {"k1": 2})]) as (path, _):
        columns = Columns(path, threading.Event())
        for n in range(9):
            assert columns.matching(parse_filter({f"k{n}": 1, "k0": 1})).tolist() == ([0] if n < 2 else [])
        assert set(columns._columns) == {"k6", "k7", "k8", "k0"}
        many = parse_filter({"$or": [{f"k{n}": 1} for n in range(9)]})
        assert columns.matching(many).tolist() == [0]
        assert columns.values(many, "k1").documents.tolist() == [0]
        assert columns.values(parse_filter({}), "k1").documents.tolist() == [0, 1]


def test_a_key_that_no_metadata_has_room_for_is_not_kept() -> None:
    with truth_with([("a", {"k": 1})]) as (path, _):
        columns = Columns(path, threading.Event())
        long = "k" * 70_000
        assert columns.matching(parse_filter({"$or": [{"k": 1}, {long: 1}]})).tolist() == [0]
        assert columns.matching(parse_filter({long: {"$exists": False}})).tolist() == [0]
        assert columns.values(parse_filter({}), long).runs == ()
        assert list(columns._columns) == ["k"]


def test_long_questions_are_not_kept() -> None:
    column = Column([make_run([(1, 5), (2, 50_000)])])
    for start in range(3):
        choices = tuple(range(start, start + postings.MAX_KEPT_CHOICES + 1))
        assert list(column.matching(OneOf("a", choices))) == [1]
    assert not column._answers
