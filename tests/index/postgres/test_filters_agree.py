"""Filters: PostgreSQL matches exactly what the definition in plain Python matches."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from filter_cases import LARGEST, filters, rows, tags
from hypothesis import HealthCheck, example, given, settings
from random_filters import random_filter, random_metadata

from index.codec import decode_json, encode_metadata
from index.filter_match import matches
from index.filters import AllOf, Filter, parse_filter, visible_to
from index.postgres.database import Database
from index.postgres.filter_sql import compile_filter
from index.postgres.filterable import encode_filterable
from index.postgres.parameters import Parameters
from index.rows import Document

Row = tuple[str, dict[str, Any]]


@pytest.fixture
async def described(database: Database) -> Database:
    """With a table of what filters see of documents."""
    await database.execute(
        'CREATE TABLE described (key int, id text COLLATE "C", filterable jsonb, acl text[] COLLATE "C")'
    )
    await database.execute("CREATE INDEX ON described USING gin (filterable jsonb_path_ops)")
    return database


async def describe(database: Database, rows: Sequence[Row], acls: Sequence[Sequence[str]] = ()) -> list[Row]:
    """Write them instead of those before; gives them as JSON brings them back."""
    encoded = [encode_metadata(Document(id_, "", "", metadata, ())) for id_, metadata in rows]
    await database.execute("DELETE FROM described")
    for n, (id_, _) in enumerate(rows):
        values = (n, id_, encode_filterable(encoded[n]), list(acls[n]) if acls else [])
        await database.execute("INSERT INTO described VALUES ($1, $2, $3, $4)", *values)
    return [(id_, decode_json(text)) for (id_, _), text in zip(rows, encoded, strict=True)]


async def found_by(database: Database, tree: Filter) -> list[int]:
    parameters = Parameters()
    sql = f"SELECT key FROM described AS d WHERE {compile_filter(tree, parameters)} ORDER BY key"
    return [row[0] for row in await database.fetch(sql, *parameters.values)]


def expected_of(rows: Sequence[Row], tree: Filter) -> list[int]:
    return [n for n, row in enumerate(rows) if matches(tree, *row)]


once = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@once
@given(written=rows, source=filters)
@example(written=[("doc", {"a": 1})], source={"a": True})
@example(written=[("doc", {"a": True})], source={"a": {"$gte": 0}})
@example(written=[("doc", {"a": 1})], source={"a": 1.0})
@example(written=[("doc", {"a": "\U0001f600"})], source={"a": {"$gt": "\uffff"}})
@example(written=[("doc", {"a": 2**53})], source={"a": 2**53 + 1})
@example(written=[("doc", {"a": 2.0**60}), ("doc", {"a": 1152921504606847000})], source={"a": 2**60})
@example(written=[("doc", {"a": 2.0**60})], source={"a": {"$gt": 2**60}})
@example(written=[("doc", {"a": 2**64}), ("doc", {"a": 2**64 + 1})], source={"a": 2.0**64})
@example(written=[("doc", {"a": 10**400}), ("doc", {"a": -(10**400)})], source={"a": {"$gt": 10**300}})
@example(written=[("doc", {"a": "xyz"}), ("doc", {"a": ["y"]}), ("doc", {"a": [["y"]]})], source={"a": "y"})
@example(written=[("doc", {"a": "xyz"}), ("doc", {"a": ["y", "y"]})], source={"a": {"$contains": "y"}})
@example(written=[("doc", {"document_id": "z"})], source={"document_id": "z"})
@example(written=[("doc", {"a": "x"}), ("doc", {"a": "x\x01"})], source={"a": {"$lte": "x\0"}})
async def test_sql_matches_what_the_definition_matches(
    described: Database, written: list[Row], source: dict[str, Any]
) -> None:
    tree = parse_filter(source)
    rows = await describe(described, written)
    assert await found_by(described, tree) == expected_of(rows, tree)


@once
@given(source=filters, asked=tags)
@example(source={}, asked=[])
async def test_sql_shows_the_same_to_the_holders_of_tags(
    described: Database, source: dict[str, Any], asked: list[str]
) -> None:
    acls: list[list[str]] = [[], ["a"], ["b", "a"], ["te'am"], ["ключ"]]
    rows = await describe(described, [("doc", {"a": 1}) for _ in acls], acls)
    tree = AllOf((visible_to(asked), parse_filter(source)))
    expected = [n for n, acl in enumerate(acls) if matches(tree, *rows[n], acl)]
    assert await found_by(described, tree) == expected


async def test_random_filters_over_one_table_agree(described: Database) -> None:
    dice = random.Random(4)
    rows = await describe(described, [(f"d{n % 7}", random_metadata(dice)) for n in range(60)])
    for _ in range(10 * settings().max_examples):
        tree = parse_filter(source := random_filter(dice))
        assert await found_by(described, tree) == expected_of(rows, tree), source


@pytest.mark.parametrize("source", LARGEST, ids=["deep", "wide", "many choices"])
async def test_the_largest_filters_are_answered(described: Database, source: dict[str, Any]) -> None:
    rows = await describe(described, [("d", {}), ("e", {"a": {"a": 1}})])
    tree = parse_filter(source)
    assert await found_by(described, tree) == expected_of(rows, tree)


async def test_what_equals_is_found_by_the_index(described: Database) -> None:
    await describe(described, [("d", {"a": n}) for n in range(50)])
    for source in ({"a": 7}, {"a.b": 7}, {"a": {"$in": [1, "x", None]}}, {"a": {"$contains": 1}}):
        parameters = Parameters()
        condition = compile_filter(parse_filter(source), parameters)

        async def explained(connection: Any, sql: str = condition, values: Any = parameters.values) -> str:
            async with connection.transaction():
                await connection.execute("SET LOCAL enable_seqscan = off")
                plan = await connection.fetch(f"EXPLAIN SELECT FROM described AS d WHERE {sql}", *values)
                return "\n".join(row[0] for row in plan)

        assert "Index Cond: (filterable @>" in await described.read(explained), source
