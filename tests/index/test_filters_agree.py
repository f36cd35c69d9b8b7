"""Filters: SQL and the bitmaps match exactly what the definition in plain Python matches."""

import json
import random
import sqlite3
import threading
from typing import Any

from documents_file import Row, truth_with
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_filters import random_filter, random_metadata

from index.attributes import Columns
from index.filter_match import matches
from index.filter_sql import compile_filter
from index.filters import MAX_CONDITIONS, MAX_DEPTH, MAX_STEPS, AllOf, Filter, parse_filter, visible_to

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
keys = st.sampled_from(["a", "b", 'quo"te', "ключ", "a.b", "b.a.b", "$", "", "line\nbreak"])
numbers = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 0.30000000000000004, 2.0, -0.0, 2**64, -(2**70), 2**63 - 1]),
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
stored = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(keys, texts), inner, max_size=3)
    ),
    max_leaves=4,
)
ids = st.sampled_from(["doc", "doc/1", "ünï", "z"])
choice = st.one_of(scalars, st.just("nul\0"))
operand = st.one_of(texts, numbers)
operators = st.one_of(
    *(st.fixed_dictionaries({name: choice}) for name in ("$eq", "$ne", "$contains", "$not_contains")),
    *(st.fixed_dictionaries({name: st.lists(choice, max_size=4)}) for name in ("$in", "$nin")),
    *(st.fixed_dictionaries({name: operand}) for name in ("$gt", "$gte", "$lt", "$lte")),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.fixed_dictionaries({"$gte": operand, "$lt": operand}),
)
leaves = st.dictionaries(
    st.one_of(keys.filter(lambda key: not key.startswith("$")), st.just("document_id")),
    st.one_of(choice, ids, operators),
    max_size=2,
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)
rows = st.lists(st.tuples(ids, st.dictionaries(keys, stored, max_size=4)), min_size=1, max_size=6)


@given(rows=rows, source=filters)
@example(rows=[("doc", {"a": 1})], source={"a": True})
@example(rows=[("doc", {"a": True})], source={"a": {"$gte": 0}})
@example(rows=[("doc", {"a": 1})], source={"a": 1.0})
@example(rows=[("doc", {"a": "\U0001f600"})], source={"a": {"$gt": "\uffff"}})
@example(rows=[("doc", {"a": 2**53})], source={"a": 2**53 + 1})
@example(rows=[("doc", {"a": 10**400})], source={"a": {"$gt": 10**300}})
@example(rows=[("doc", {"a": "xyz"}), ("doc", {"a": ["y"]}), ("doc", {"a": [["y"]]})], source={"a": "y"})
@example(rows=[("doc", {"a": "xyz"}), ("doc", {"a": ["y", "y"]})], source={"a": {"$contains": "y"}})
@example(rows=[("doc", {"document_id": "z"})], source={"document_id": "z"})
def test_every_evaluator_matches_what_the_definition_matches(rows: list[Row], source: dict) -> None:
    tree = parse_filter(source)
    with truth_with(rows) as (path, connection):
        expected = [n for n, row in enumerate(rows) if matches(tree, *row)]
        assert found_by_sql(connection, tree) == expected
        assert found_by_bitmaps(Columns(path, threading.Event()), tree) == expected


tags = st.lists(st.sampled_from(["a", "b", "te'am", "ключ"]), max_size=3)


@given(acls=st.lists(tags, min_size=1, max_size=6), asked=tags, source=filters)
@example(acls=[[], ["a"], ["b", "a"]], asked=[], source={})
def test_every_evaluator_shows_the_same_to_the_holders_of_tags(
    acls: list[list[str]], asked: list[str], source: dict
) -> None:
    tree = AllOf((visible_to(asked), parse_filter(source)))
    with truth_with([("doc", {"a": 1}) for _ in acls]) as (path, connection):
        for key, acl in enumerate(acls):
            connection.execute("UPDATE documents SET acl = ? WHERE key = ?", (json.dumps(acl), key))
        connection.commit()
        expected = [n for n, acl in enumerate(acls) if matches(tree, "doc", {"a": 1}, acl)]
        assert found_by_sql(connection, tree) == expected
        assert found_by_bitmaps(Columns(path, threading.Event()), tree) == expected
        if source == {}:
            assert expected == [n for n, acl in enumerate(acls) if not acl or set(acl) & set(asked)]


def test_random_filters_over_one_collection_agree() -> None:
    """The columns stay, with what they remember of earlier questions."""
    dice = random.Random(4)
    rows = [(f"d{n % 7}", random_metadata(dice)) for n in range(60)]
    with truth_with(rows) as (path, connection):
        columns = Columns(path, threading.Event())
        for _ in range(10 * settings().max_examples):
            tree = parse_filter(source := random_filter(dice))
            expected = [n for n, row in enumerate(rows) if matches(tree, *row)]
            assert found_by_sql(connection, tree) == expected, source
            assert found_by_bitmaps(columns, tree) == expected, source


def found_by_sql(connection: sqlite3.Connection, tree: Filter) -> list[int]:
    condition = compile_filter(tree)
    sql = f"SELECT key FROM documents AS d WHERE {condition.sql} ORDER BY key"
    return [key for (key,) in connection.execute(sql, condition.parameters)]


def found_by_bitmaps(columns: Columns, tree: Filter) -> list[int]:
    found: list[int] = columns.matching(tree).tolist()
    return found


def test_the_largest_filters_are_answered_by_all() -> None:
    """SQLite's limits on depth, on tables in a join and on its parser's stack lie beyond ours."""
    long_key = ".".join("a" * MAX_STEPS)
    deep: dict[str, Any] = {long_key: {"$not_contains": "x"}}
    for n in range(MAX_DEPTH - 1):
        deep = {"$not": deep} if n % 2 else {"$or": [deep, {long_key: 1}]}
    wide = {"$and": [{long_key: {"$contains": n}} for n in range(MAX_CONDITIONS)]}
    with truth_with([("d", {}), ("e", {"a": {"a": 1}})]) as (path, connection):
        for source in (deep, wide):
            tree = parse_filter(source)
            expected = [n for n, row in enumerate([("d", {}), ("e", {})]) if matches(tree, *row)]
            assert found_by_sql(connection, tree) == expected
            assert found_by_bitmaps(Columns(path, threading.Event()), tree) == expected
