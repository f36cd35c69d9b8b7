"""Filters: SQL and the bitmaps match exactly what the definition in plain Python matches."""

import json
import random
import sqlite3
import threading

from documents_file import Row, truth_with
from filter_cases import LARGEST, filters, rows, tags
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_filters import random_filter, random_metadata

from index.attributes import Columns
from index.filter_match import matches
from index.filter_sql import compile_filter
from index.filters import AllOf, Filter, parse_filter, visible_to


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
    documents = [("d", {}), ("e", {"a": {"a": 1}})]
    with truth_with(documents) as (path, connection):
        for source in LARGEST:
            tree = parse_filter(source)
            expected = [n for n, row in enumerate(documents) if matches(tree, *row)]
            assert found_by_sql(connection, tree) == expected
            assert found_by_bitmaps(Columns(path, threading.Event()), tree) == expected
