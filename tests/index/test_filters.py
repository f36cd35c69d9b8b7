"""Filters: what is refused and how, and what the parts of the language mean."""

import json
from typing import Any

import pytest

from index.errors import InvalidFilter
from index.filter_match import matches
from index.filters import (
    MAX_CHOICES,
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_STEPS,
    AllOf,
    AnyOf,
    Compared,
    Contains,
    Exists,
    Not,
    OneOf,
    keys_of,
    parse_filter,
)

DOCUMENT = {
    "lang": "en",
    "year": 2021,
    "draft": False,
    "score": None,
    "date": "2024-05-01T00:00:00Z",
    "tags": ["sea", 7, True],
    "meta": {"team": {"name": "air"}, "a.b": 1},
    "meta.lang": "de",
}


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"lang": "en"},
        {"lang": {"$ne": "de"}, "missing": {"$ne": "de"}},
        {"missing": {"$nin": ["x"]}},
        {"missing": {"$not_contains": "x"}},
        {"year": {"$gte": 2021.0, "$lt": 2022}},
        {"date": {"$gt": "2024-04-30T23:59:59Z"}},
        {"draft": False},
        {"score": None},
        {"score": {"$exists": True}, "missing": {"$exists": False}},
        {"tags": {"$contains": "sea"}},
        {"tags": {"$contains": 7.0}},
        {"tags": {"$contains": True}},
        {"lang": {"$contains": "n"}},
        {"meta.team.name": "air"},
        {"meta.team": {"$exists": True}},
        {"meta.lang": "de"},
        {"$or": [{"lang": "de"}, {"year": 2021}]},
        {"$not": {"lang": "de"}},
        {"$and": [{"lang": "en"}, {"$not": {"$or": [{"year": 1}, {"draft": True}]}}]},
        {"document_id": {"$contains": "/"}},
    ],
)
def test_a_filter_matches(source: dict[str, Any]) -> None:
    assert matches(parse_filter(source), "folder/file", DOCUMENT)


@pytest.mark.parametrize(
    "source",
    [
        {"lang": "EN"},
        {"missing": None},
        {"year": "2021"},
        {"year": {"$lt": "3000"}},
        {"draft": 0},
        {"draft": {"$exists": False}},
        {"score": {"$lt": 1}},
        {"tags": "sea"},
        {"tags": {"$contains": "se"}},
        {"tags": {"$contains": 1}},
        {"tags": {"$gt": "a"}},
        {"year": {"$contains": 2021}},
        {"meta": {"$contains": "team"}},
        {"meta.team.name.x": {"$exists": True}},
        {"tags.0": {"$exists": True}},
        {"meta.a.b": 1},
        {"$or": [{"lang": "de"}, {"year": 1}]},
        {"$not": {}},
        {"lang": {"$in": []}},
        {"document_id": 1},
    ],
)
def test_a_filter_does_not_match(source: dict[str, Any]) -> None:
    assert not matches(parse_filter(source), "folder/file", DOCUMENT)


@pytest.mark.parametrize(
    ("source", "operator", "where"),
    [
        ({"year": {"$near": 1}}, "$near", "filter.year.$near"),
        ({"$nor": []}, "$nor", "filter.$nor"),
        ({"$and": [{"a": 1}, {"b": {"$gte": None}}]}, "$gte", "filter.$and[1].b.$gte"),
        ({"$and": []}, "$and", "filter.$and"),
        ({"$and": {"a": 1}}, "$and", "filter.$and"),
        ({"$or": [{"a": 1}, {"$or": []}]}, "$or", "filter.$or[1].$or"),
        ({"$not": {"a": {"$exists": 1}}}, "$exists", "filter.$not.a.$exists"),
        ({"a": {"$not": {"$gt": 1}}}, "$not", "filter.a.$not"),
        ({"a": {"$ne": [1]}}, "$ne", "filter.a.$ne"),
        ({"a": {"$nin": 1}}, "$nin", "filter.a.$nin"),
        ({"a": {"$contains": ["x"]}}, "$contains", "filter.a.$contains"),
        ({"a": {"$not_contains": {}}}, "$not_contains", "filter.a.$not_contains"),
        ({"a": {"$gt": 10**400}}, "$gt", "filter.a.$gt"),
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


@pytest.mark.parametrize(
    "source", [None, 3, "x", [], {"$and": [3]}, {"$not": [{"a": 1}]}, {"a": {}}, {"\ud800": 1}]
)
def test_what_is_no_filter_is_refused(source: object) -> None:
    with pytest.raises(InvalidFilter):
        parse_filter(source)


def _nested(levels: int, operator: str = "$and") -> dict[str, Any]:
    source: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        source = {operator: source if operator == "$not" else [source]}
    return source


def test_a_filter_may_not_be_endless() -> None:
    for source in (
        _nested(MAX_DEPTH),
        _nested(1_000),
        _nested(1_000, "$or"),
        _nested(1_000, "$not"),
        {f"k{n}": n for n in range(MAX_CONDITIONS + 1)},
        {"$or": [{"$not": {}}] * (MAX_CONDITIONS + 1)},
        {"a": {"$in": list(range(MAX_CHOICES + 1))}},
        {".".join("a" * (MAX_STEPS + 1)): 1},
    ):
        with pytest.raises(InvalidFilter):
            parse_filter(source)


def test_the_limits_themselves_are_allowed() -> None:
    parse_filter(_nested(MAX_DEPTH - 1))
    parse_filter({f"k{n}": {"$nin": [n]} for n in range(MAX_CONDITIONS)})
    parse_filter({".".join("a" * MAX_STEPS): {"$in": list(range(MAX_CHOICES))}})


def test_each_operator_has_its_place_in_the_tree() -> None:
    assert parse_filter({"a": 1}) == OneOf("a", (1,))
    assert parse_filter({"a": {"$gt": 1}}) == Compared("a", "$gt", 1)
    assert parse_filter({"a": {"$ne": 1}}) == Not(OneOf("a", (1,)))
    assert parse_filter({"a": {"$exists": False}}) == Not(Exists("a"))
    assert parse_filter({"$or": [{"a": {"$contains": 1}}]}) == Contains("a", 1)
    assert parse_filter({"$or": [{}, {"$not": {}}]}) == AnyOf((AllOf(()), Not(AllOf(()))))


def test_a_tree_knows_its_keys() -> None:
    source = {"$or": [{"a": 1}, {"$not": {"b.c": 2}}], "document_id": {"$ne": "x"}}
    assert keys_of(parse_filter(source)) == {"a", "b.c", "document_id"}
    assert keys_of(parse_filter({})) == frozenset()


def test_a_refusal_of_a_deep_filter_is_short() -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(json.loads(json.dumps(_nested(300, "$not"))))
    assert len(str(caught.value)) < 300
    assert "16 deep" in str(caught.value)


@pytest.mark.parametrize(
    "source", [{"k" * 10_000: {"$" + "x" * 10_000: 1}}, {"$" + "x" * 10_000: 1}, {"a." * 10_000: 1}]
)
def test_a_refusal_repeats_no_long_key(source: dict[str, Any]) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(source)
    assert len(str(caught.value)) < 500
