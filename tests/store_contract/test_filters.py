"""Filters: what each operator matches, on every route that takes a filter."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from random_filters import random_filter, random_metadata
from store_samples import document_of, ids_of, point_of, vector_of

from index.filter_match import matches
from index.filters import Filter, parse_filter
from index.rows import Query
from index.store import Store

ROWS: dict[str, dict[str, Any]] = {
    "none": {},
    "null": {"k": None},
    "true": {"k": True},
    "one": {"k": 1},
    "one and a half": {"k": 1.5},
    "large": {"k": 2**53 + 1},
    "text": {"k": "1"},
    "word": {"k": "tides"},
    "beyond": {"k": "\U0001f600"},
    "list": {"k": ["tides", 1, True]},
    "lists": {"k": [["tides"], []]},
    "empty": {"k": []},
    "object": {"k": {"in": 2, "a.b": {"c": "x"}}},
    "dotted": {"k.in": 3, "k": {"in": 2}},
    "date": {"k": "2024-05-01T00:00:00Z"},
}
ALL = set(ROWS)
# What each filter matches.
MEANT: list[tuple[dict[str, Any], set[str]]] = [
    ({}, ALL),
    ({"k": 1}, {"one"}),
    ({"k": 1.0}, {"one"}),
    ({"k": True}, {"true"}),
    ({"k": None}, {"null"}),
    ({"k": "1"}, {"text"}),
    ({"k": ""}, set()),
    ({"k": "tides"}, {"word"}),
    ({"k": 2**53}, set()),
    ({"k": {"$eq": 2**53 + 1}}, {"large"}),
    ({"k": {"$in": [1, "1", None]}}, {"one", "text", "null"}),
    ({"k": {"$in": []}}, set()),
    ({"k": {"$nin": []}}, ALL),
    ({"k": {"$gt": 1}}, {"one and a half", "large"}),
    ({"k": {"$gte": 1}}, {"one", "one and a half", "large"}),
    ({"k": {"$lt": 2}}, {"one", "one and a half"}),
    ({"k": {"$gte": 1, "$lt": 1.5}}, {"one"}),
    ({"k": {"$gte": ""}}, {"text", "word", "beyond", "date"}),
    ({"k": {"$gt": "\uffff"}}, {"beyond"}),
    ({"k": {"$lt": "2"}}, {"text"}),
    ({"k": {"$gte": "2024-04-30T23:59:59Z", "$lt": "2024-06-01T00:00:00Z"}}, {"date"}),
    ({"k": {"$contains": "tides"}}, {"word", "list"}),
    ({"k": {"$contains": "ide"}}, {"word"}),
    ({"k": {"$contains": ""}}, {"text", "word", "beyond", "date"}),
    ({"k": {"$contains": 1}}, {"list"}),
    ({"k": {"$contains": True}}, {"list"}),
    ({"k": {"$exists": True}}, ALL - {"none"}),
    ({"k": {"$exists": False}}, {"none"}),
    ({"k.in": 2}, {"object"}),
    ({"k.in": 3}, {"dotted"}),
    ({"k.in": {"$exists": True}}, {"object", "dotted"}),
    ({"k.a.b.c": "x"}, set()),
    ({"K": {"$exists": True}}, set()),
    ({"document_id": "one"}, {"one"}),
    ({"document_id": {"$in": ["one", "list", "nothing"]}}, {"one", "list"}),
    ({"document_id": {"$contains": "one"}}, {"one", "none", "one and a half"}),
    ({"$or": [{"k": 1}, {"k": "1"}, {"k.in": 2}]}, {"one", "text", "object"}),
    ({"$and": [{"k": {"$gte": 1}}, {"k": {"$lte": 1}}]}, {"one"}),
    ({"k": {"$gt": 0}, "document_id": "one", "$not": {"k": 2}}, {"one"}),
    ({"$not": {}}, set()),
    ({"$not": {"$not": {"k": 1}}}, {"one"}),
    ({"$not": {"$or": [{"k": {"$exists": True}}, {"k.in": 1}]}}, {"none"}),
]
COMPLEMENTS = {"$ne": "$eq", "$nin": "$in", "$not_contains": "$contains"}


async def found_by_every_route(store: Store, condition: Filter) -> set[str]:
    """The documents that match; all routes must agree on them."""
    scrolled, after = [], None
    while True:
        page, after = await store.scroll(4, after, condition)
        scrolled += [point.document_id for point in page]
        if after is None:
            break
    found = set(scrolled)
    points = Counter(scrolled)
    assert await store.count(condition) == len(scrolled)
    ids = (await store.facets("document_id", 99, condition)).values
    assert {value.value: value.points for value in ids} == points
    for query in (
        Query(999, vector=vector_of(1), filter=condition),
        Query(999, vector=vector_of(1), filter=condition, exact=True),
        Query(999, text="shared", filter=condition),
        Query(999, vector=vector_of(1), text="shared", filter=condition),
    ):
        assert Counter(hit.document_id for hit in (await store.search(query)).hits) == points
    few = Query(3, vector=vector_of(2), filter=condition)
    assert len((await store.search(few)).hits) == min(3, len(scrolled))
    one_each = await store.search(Query(999, vector=vector_of(2), filter=condition, group_by="document"))
    assert {hit.document_id for hit in one_each.hits} == found
    return found


async def write_rows(store: Store, rows: dict[str, dict[str, Any]]) -> None:
    documents = [
        document_of(id_, n, n + 100, title="shared", metadata=metadata)
        if n % 2
        else point_of(id_, n, text="shared", metadata=metadata)
        for n, (id_, metadata) in enumerate(rows.items())
    ]
    await store.upsert(documents)


async def test_every_filter_matches_what_it_means_on_every_route(store: Store) -> None:
    await write_rows(store, ROWS)
    for source, meant in MEANT:
        assert await found_by_every_route(store, parse_filter(source)) == meant, source


async def matching(store: Store, source: dict[str, Any]) -> set[str]:
    points, _ = await store.scroll(999, condition=parse_filter(source))
    return {point.document_id for point in points}


async def test_negations_are_exact_complements(store: Store) -> None:
    await write_rows(store, ROWS)
    operands: dict[str, list[Any]] = {
        "$eq": [1, True, None, "1", "tides", 7],
        "$in": [[], [1, True], [None, "tides"]],
        "$contains": ["tides", 1, True, None, ""],
    }
    for negated, plain in COMPLEMENTS.items():
        for key in ("k", "k.in", "nothing", "document_id"):
            for operand in operands[plain]:
                held = await matching(store, {key: {plain: operand}})
                rest = await matching(store, {key: {negated: operand}})
                assert held | rest == ALL, (key, negated, operand)
                assert not held & rest, (key, negated, operand)


async def test_random_filters_match_what_the_definition_matches_on_every_route(store: Store) -> None:
    dice = random.Random(5)
    rows = {f"d{n}": random_metadata(dice) for n in range(90)}
    await write_rows(store, rows)
    for asked in range(settings().max_examples // 2):
        if asked % 10 == 9:  # the answers follow what is written in between
            id_ = dice.choice(list(rows))
            rows[id_] = random_metadata(dice)
            await store.upsert([document_of(id_, asked, title="shared", metadata=rows[id_])])
        tree = parse_filter(source := random_filter(dice))
        expected = {id_ for id_, metadata in rows.items() if matches(tree, id_, metadata)}
        assert await found_by_every_route(store, tree) == expected, source


async def test_a_filter_deletes_what_it_matches(store: Store) -> None:
    dice = random.Random(6)
    rows = {f"d{n}": random_metadata(dice) for n in range(60)}
    await write_rows(store, rows)
    while rows:
        tree = parse_filter(random_filter(dice))
        gone = {id_ for id_, metadata in rows.items() if matches(tree, id_, metadata)}
        assert await store.delete_matching(tree) == len(gone)
        rows = {id_: metadata for id_, metadata in rows.items() if id_ not in gone}
        assert {document.id for document in await store.documents(99)} == set(rows)


def deepest(levels: int) -> dict[str, Any]:
    source: dict[str, Any] = {"k": {"$not_contains": "x"}}
    for n in range(levels - 1):
        source = {"$not": source} if n % 2 else {"$or": [source, {"k": n}]}
    return source


@pytest.mark.parametrize(
    "source",
    [
        deepest(16),
        {"$and": [{"k": {"$ne": n}} for n in range(256)]},
        {"$or": [{f"k{n}": {"$contains": n}} for n in range(256)]},
        {"k": {"$nin": list(range(2, 10_002))}},
        {".".join(["k"] * 16): {"$exists": False}},
    ],
    ids=["deepest", "widest $and", "widest $or", "longest $nin", "longest path"],
)
async def test_the_largest_filters_are_answered(store: Store, source: dict[str, Any]) -> None:
    await write_rows(store, ROWS)
    tree = parse_filter(source)
    expected = {id_ for id_, metadata in ROWS.items() if matches(tree, id_, metadata)}
    assert await found_by_every_route(store, tree) == expected


async def test_a_selective_filter_far_from_the_query_loses_nothing(store: Store) -> None:
    """Where a graph would be asked: its nearest all do not match."""
    near, far = vector_of(1), -vector_of(1)
    noise = [0.01 * vector_of(n) for n in range(400)]
    await store.upsert([point_of(f"near{n}", vector=near + noise[n]) for n in range(380)])
    await store.upsert([point_of(f"far{n}", vector=far + noise[n], metadata={"far": n}) for n in range(12)])
    for k, condition, count in (
        (10, {"far": {"$exists": True}}, 10),
        (99, {"far": {"$lt": 6}}, 6),
        (5, {"far": 3}, 1),
    ):
        result = await store.search(Query(k, vector=near, filter=parse_filter(condition)))
        assert len(result.hits) == len(set(ids_of(result))) == count
        assert all(hit.id.startswith("far") for hit in result.hits)
