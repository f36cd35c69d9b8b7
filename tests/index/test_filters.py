"""Filters: what is refused, and that SQL matches what plain Python would."""

import json
import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from index.errors import InvalidFilter
from index.filter_sql import compile_filter
from index.filters import MAX_CHOICES, MAX_CONDITIONS, AllOf, Compared, Filter, OneOf, parse_filter


def matches(tree: Filter, id_: str, metadata: dict) -> bool:
    """The oracle: the same meaning, in Python."""
    if isinstance(tree, AllOf):
        return all(matches(part, id_, metadata) for part in tree.parts)
    values = {**metadata, "document_id": id_}
    if tree.key not in values:
        return False
    value = values[tree.key]
    if isinstance(tree, OneOf):
        return any(kind(value) == kind(choice) and value == choice for choice in tree.choices)
    if kind(value) != kind(tree.operand):
        return False
    return {
        "$gt": value > tree.operand,
        "$gte": value >= tree.operand,
        "$lt": value < tree.operand,
        "$lte": value <= tree.operand,
    }[tree.operator]


def kind(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return repr(value)
    return "number" if isinstance(value, int | float) else type(value).__name__


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
keys = st.sampled_from(["a", "b", 'quo"te', "ключ", "a.b", "$", "", "line\nbreak"])
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 0.30000000000000004, 2.0, -0.0]),
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
stored = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(texts, scalars, max_size=2))
ids = st.sampled_from(["doc", "doc/1", "ünï", "z"])
choice = st.one_of(scalars, st.just("nul\0"))
operand = st.one_of(texts, numbers)
operators = st.one_of(
    st.fixed_dictionaries({"$eq": choice}),
    st.fixed_dictionaries({"$in": st.lists(choice, max_size=4)}),
    *(st.fixed_dictionaries({name: operand}) for name in ("$gt", "$gte", "$lt", "$lte")),
    st.fixed_dictionaries({"$gte": operand, "$lt": operand}),
)
leaves = st.dictionaries(
    st.one_of(keys.filter(lambda key: not key.startswith("$")), st.just("document_id")),
    st.one_of(choice, ids, operators),
    max_size=2,
)
filters = st.recursive(
    leaves,
    lambda inner: st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
    max_leaves=4,
)
rows = st.lists(st.tuples(ids, st.dictionaries(keys, stored, max_size=4)), min_size=1, max_size=6)


@given(rows=rows, source=filters)
@example(rows=[("doc", {"a": 1})], source={"a": True})
@example(rows=[("doc", {"a": True})], source={"a": {"$gte": 0}})
@example(rows=[("doc", {"a": 1})], source={"a": 1.0})
@example(rows=[("doc", {"a": "\U0001f600"})], source={"a": {"$gt": "\uffff"}})
@example(rows=[("doc", {"a": 2**53})], source={"a": 2**53 + 1})
def test_sql_matches_exactly_what_the_oracle_matches(rows: list, source: dict) -> None:
    tree = parse_filter(source)
    condition = compile_filter(tree)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (n INTEGER, id TEXT, metadata TEXT)")
    connection.executemany(
        "INSERT INTO documents VALUES (?, ?, ?)",
        [(n, id_, json.dumps(metadata, ensure_ascii=False)) for n, (id_, metadata) in enumerate(rows)],
    )
    found = connection.execute(
        f"SELECT n FROM documents AS d WHERE {condition.sql}", condition.parameters
    ).fetchall()
    connection.close()
    assert {n for (n,) in found} == {n for n, row in enumerate(rows) if matches(tree, *row)}


@pytest.mark.parametrize(
    ("source", "operator", "where"),
    [
        ({"year": {"$near": 1}}, "$near", "filter.year.$near"),
        ({"$nor": []}, "$nor", "filter.$nor"),
        ({"$and": [{"a": 1}, {"b": {"$gte": None}}]}, "$gte", "filter.$and[1].b.$gte"),
        ({"$and": []}, "$and", "filter.$and"),
        ({"$and": {"a": 1}}, "$and", "filter.$and"),
        ({"a": {"$in": "x"}}, "$in", "filter.a.$in"),
        ({"a": {"$in": [["x"]]}}, "$in", "filter.a.$in[0]"),
        ({"a": {"$eq": {}}}, "$eq", "filter.a.$eq"),
        ({"a": [1]}, "$eq", "filter.a"),
        ({"a": {"$lt": True}}, "$lt", "filter.a.$lt"),
        ({"a": {"$lt": float("nan")}}, "$lt", "filter.a.$lt"),
        ({"a": float("inf")}, "$eq", "filter.a"),
        ({"a": "\ud800"}, "$eq", "filter.a"),
    ],
)
def test_a_refused_filter_names_the_operator_and_its_place(source: dict, operator: str, where: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(source)
    assert caught.value.operator == operator
    assert where in str(caught.value)


@pytest.mark.parametrize("source", [None, 3, "x", [], {"$and": [3]}, {"a": {}}, {"\ud800": 1}])
def test_what_is_no_filter_is_refused(source: object) -> None:
    with pytest.raises(InvalidFilter):
        parse_filter(source)


def test_a_filter_may_not_be_endless() -> None:
    deep: dict = {"a": 1}
    for _ in range(40):
        deep = {"$and": [deep]}
    for source in (
        deep,
        {f"k{n}": n for n in range(MAX_CONDITIONS + 1)},
        {"$and": [{}] * (MAX_CONDITIONS + 1)},
        {"a": {"$in": list(range(MAX_CHOICES + 1))}},
    ):
        with pytest.raises(InvalidFilter):
            parse_filter(source)


def test_a_short_filter_is_one_condition() -> None:
    assert parse_filter({"a": 1}) == OneOf("a", (1,))
    assert parse_filter({"a": {"$gt": 1}}) == Compared("a", "$gt", 1)
