"""Facets and counts against the same counts in plain Python."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from random_filters import random_filter, random_metadata

from index.collection import Collection
from index.filter_match import MISSING, comparable, matches, value_at
from index.filters import DOCUMENT_ID, Filter, parse_filter
from index.rows import Document, DocumentPatch, FacetValue

Make = Callable[..., Document]

texts = st.sampled_from(["", "a", "b", "1", "true", "null", 'quo"te', "ключ", "line\nbreak"])
keys = st.sampled_from(["a", "b", "a.b", "a.b.c", 'quo"te', "ключ", "line\nbreak", "", "a.", "."])
numbers = st.one_of(
    st.integers(-2, 2), st.sampled_from([1.0, 0.5, -0.0, 2**53, 2**53 + 1, 2.0**53, -(2**63)])
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
documents = st.lists(st.tuples(st.integers(0, 3), st.dictionaries(keys, values, max_size=4)), max_size=5)


def counted(value: Any) -> set[Any]:
    """The scalars in a value, as they compare: 1 is 1.0 and neither "1" nor true."""
    items = value if isinstance(value, list) else [value]
    return {held for item in items if item is not MISSING and (held := comparable(item)) is not None}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(rows=documents, key=keys)
@example(rows=[(1, {"a": {"b": 1}}), (2, {"a.b": 2}), (1, {"a.b": {}, "a": {"b": 3}})], key="a.b")
@example(rows=[(1, {"a": ["x", "x", 1, 1.0, True, None, [2], {"b": 2}]})], key="a")
@example(rows=[(1, {"a": "{}"}), (1, {"a": '{"b": 1}'}), (1, {"a": "["})], key="a.b")
async def test_counts_are_those_of_plain_python(
    collection: Collection, make_document: Make, rows: list[tuple[int, dict[str, Any]]], key: str
) -> None:
    await collection.delete_matching(parse_filter({}))
    await collection.upsert(
        [make_document(f"d{n}", *range(size), metadata=metadata) for n, (size, metadata) in enumerate(rows)]
    )
    model = {f"d{n}": row for n, row in enumerate(rows)}
    await agrees(collection, model, key, {})


def counts(model: Mapping[str, tuple[int, Any]], key: str, tree: Filter) -> Counter[Any]:
    """How many points of the documents that match have each value; documents are (points, metadata)."""
    expected: Counter[Any] = Counter()
    for id_, (size, metadata) in model.items():
        if matches(tree, id_, metadata):
            expected += Counter(dict.fromkeys(counted(value_at(key, id_, metadata)), size))
    return expected


async def agrees(
    collection: Collection, model: Mapping[str, tuple[int, Any]], key: str, source: dict[str, Any]
) -> None:
    """Facets, counts and what SQL finds are what plain Python says."""
    tree = parse_filter(source)
    expected = counts(model, key, tree)
    found = await collection.facets(key, 1_000, tree)
    assert {comparable(one.value): one.points for one in found.values} == expected, source
    assert found.total == len(expected)
    points = sum(size for id_, (size, metadata) in model.items() if matches(tree, id_, metadata))
    assert await collection.count(tree) == points, source
    assert len((await collection.scroll(1_000, condition=tree))[0]) == points, source


async def test_random_facets_and_counts_agree_while_documents_change(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of them recent, some in runs, some stale in one of them, some gone."""
    monkeypatch.setattr("index.attributes.MAX_RECENT", 12)
    monkeypatch.setattr("index.attributes.RUN_DOCUMENTS", 16)
    monkeypatch.setattr("index.postings.RUN_DOCUMENTS", 16)
    dice = random.Random(8)
    model: dict[str, tuple[int, Any]] = {}
    for turn in range(5 * settings().max_examples):
        id_ = f"d{dice.randint(0, 40)}"
        size, metadata = dice.randint(0, 3), random_metadata(dice)
        match dice.randint(0, 5):
            case 0:
                model.pop(id_, None)
                await collection.delete([id_])
            case 1 if id_ in model:
                patched = await collection.patch(id_, DocumentPatch(metadata))
                model[id_] = (model[id_][0], patched.metadata)
            case _:
                model[id_] = (size, metadata)
                seeds = range(turn * 3, turn * 3 + size)
                await collection.upsert([make_document(id_, *seeds, metadata=metadata)])
        if turn % 3 == 0:
            key = dice.choice(["a", "b", "a.b", "b.a.b", "nothing", DOCUMENT_ID])
            await agrees(collection, model, key, random_filter(dice))


async def test_equal_counts_are_in_the_order_of_their_types_and_then_of_themselves(
    collection: Collection, make_document: Make
) -> None:
    values = ["b", 2, None, "a", False, 10, True, -1.5]
    await collection.upsert([make_document(f"d{n}", n, metadata={"k": v}) for n, v in enumerate(values)])
    found = await collection.facets("k", 99)
    ordered = [False, None, -1.5, 2, 10, "a", "b", True]
    assert [(type(one.value), one.value) for one in found.values] == [(type(v), v) for v in ordered]
    assert (await collection.facets("k", 3)).values == found.values[:3]


async def fill(collection: Collection, make_document: Make) -> None:
    await collection.upsert(
        [
            make_document("d0", 0, 1, metadata={"lang": "en", "year": 2020, "tags": ["x", "y"]}),
            make_document("d1", 2, metadata={"lang": "de", "year": 2021, "tags": ["y"]}),
            make_document("d2", 3, metadata={"lang": "fr", "year": 2022.0, "tags": []}),
            make_document("d3", 4, metadata={}),
        ]
    )


async def test_points_are_counted_the_commonest_value_first(
    collection: Collection, make_document: Make
) -> None:
    await fill(collection, make_document)
    found = await collection.facets("lang", 2)
    assert found.values == (FacetValue("en", 2), FacetValue("de", 1))
    assert found.total == 3


async def test_only_what_matches_is_counted(collection: Collection, make_document: Make) -> None:
    await fill(collection, make_document)
    found = await collection.facets("tags", 10, parse_filter({"year": {"$gte": 2021}}))
    assert found.values == (FacetValue("y", 1),)


async def test_document_ids_are_values_too(collection: Collection, make_document: Make) -> None:
    await fill(collection, make_document)
    found = await collection.facets(DOCUMENT_ID, 10)
    assert found.values[0] == FacetValue("d0", 2)
    assert found.total == 4


@pytest.mark.parametrize("key", ["nothing", "lang.en", "tags.0", "nul\0", ".".join("a" * 20_000)])
async def test_a_key_that_nothing_has_has_no_values(
    collection: Collection, make_document: Make, key: str
) -> None:
    await fill(collection, make_document)
    assert await collection.facets(key, 10) == await collection.facets(
        "lang", 10, parse_filter({"lang": "?"})
    )
    assert (await collection.facets(key, 10)).total == 0


@pytest.mark.parametrize(
    ("key", "operator"), [("lang", "$eq"), ("year", "$eq"), ("tags", "$contains"), (DOCUMENT_ID, "$eq")]
)
async def test_filtering_by_a_value_finds_as_many_points_as_were_counted(
    collection: Collection, make_document: Make, key: str, operator: str
) -> None:
    await fill(collection, make_document)
    for one in (await collection.facets(key, 10)).values:
        assert await collection.count(parse_filter({key: {operator: one.value}})) == one.points > 0


async def test_many_rows_are_counted_beside_the_loop_and_come_out_the_same(
    collection: Collection, make_document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(collection, make_document)
    condition = parse_filter({"year": {"$gte": 2021}})
    expected = await collection.count(condition)
    monkeypatch.setattr("index.attributes.MATCHED_INLINE", 0)
    assert await collection.count(condition) == expected > 0
