"""Filters as Milvus expressions: every document that matches is found, and hardly any other."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from random_filters import random_filter, random_metadata
from store_samples import settings_of

from index.filter_match import matches
from index.filters import AllOf, Filter, parse_filter, visible_to
from index.milvus.expression import expression_of
from index.milvus.server import Milvus, open_milvus
from index.milvus.shape import rows_of, shape_of
from index.rows import Document, DocumentCopy, Passage, Stamps

Documents = Sequence[Document]
_STAMPS = Stamps(1, "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z")
_ODD = [
    {"a": {"b": 1}, "a.b": 2},
    {"a": {"a": [1, "a", None, True]}},
    {"a": 2**53, "b": 2**53 + 1},
    {"a": -(2**63), "b": 2**64, "a.b": 1e300},
    {"a": 10**400},
    {"a": "\U0001f600", "b": "\uffff"},
    {"a": 'quo"te', "b": "back\\slash", "a.b": "line\nbreak"},
    {"a": "100%", "b": "under_score", "a.b": "it's"},
    {"a": "x" * 2_000, "b": "x"},
    {'quo"te': 1, "ключ": "да", "line\nbreak": 2, "": 3, "spa ce": 4},
    {"document_id": "d1", "a": {}},
    {"many": list(range(5_000)), "a": 1},
]
_ASKED = [
    *({"a": value} for value in (2**53, 2**53 + 1, -(2**63), 2**64, 10**300, "\U0001f600", 'quo"te', None)),
    *({"a": {order: 2**53}} for order in ("$gt", "$gte", "$lt", "$lte")),
    *({"b": {order: "\uffff"}} for order in ("$gt", "$gte", "$lt", "$lte")),
    *({"a": {"$contains": part}} for part in ("%", "_", "uo", 'o"t', "", "x", "\U0001f600")),
    *({"b": {"$not_contains": part}} for part in ("under", "\\", "x")),
    *({key: {"$exists": True}} for key in ('quo"te', "ключ", "line\nbreak", "", "a.b", "b.a.b", "none")),
    *({key: {"$gte": 1}} for key in ('quo"te', "line\nbreak", "spa ce", "many")),
    {"ключ": {"$gt": "а"}},
    {"many": {"$contains": 4_999}},
    {"a": {"$in": []}},
    {"a": {"$nin": []}},
    {"document_id": {"$in": ["d1", "d3", 'd"x', "nul\0", 5]}},
    {"document_id": {"$nin": ["d1", "d3"]}},
    {"document_id": {"$gt": "d1", "$lte": "d4"}},
    {"document_id": {"$contains": "1"}},
    {"document_id": {"$not_contains": "1"}},
    {"document_id": {"$exists": False}},
    {"document_id": 1},
    {"document_id": {"$gt": 1}},
    {"$not": {"document_id": {"$gte": "d2"}}},
    {"$not": {"$or": [{"a": 1}, {"b": {"$gt": 1}}]}},
    {},
]


@pytest.fixture(scope="module")
async def documents(milvus_url: str) -> Any:
    """Documents of mixed metadata and tags, with the Milvus and the place where their rows are."""
    dice = random.Random(3)
    found = [
        Document(f"d{n}", "", None, metadata, (_passage(),), acl=tuple(dice.sample(["x", "y"], n % 3)))
        for n, metadata in enumerate([random_metadata(dice) for _ in range(60)] + _ODD)
    ]
    async with open_milvus(milvus_url) as milvus:
        await milvus.ping()
        settings = settings_of()
        await milvus.create("expressions", shape_of(settings))
        rows = [row for one in found for row in rows_of(DocumentCopy(one, _STAMPS), settings, 1)]
        await milvus.upsert("expressions", rows)
        yield milvus, found


def _passage() -> Passage:
    return Passage(None, 0, 0, np.ones(8, dtype=np.float32))


async def _found(milvus: Milvus, tree: Filter) -> set[str]:
    rows = await milvus.rows("expressions", expression_of(tree, 0), ["document_id"])
    return {row["document_id"] for row in rows}


def _matching(documents: Documents, tree: Filter) -> set[str]:
    return {one.id for one in documents if matches(tree, one.id, one.metadata, one.acl)}


async def test_random_filters_find_all_that_match_and_few_others(documents: Any) -> None:
    milvus, known = documents
    dice = random.Random(4)
    wanted = others = 0
    for _ in range(150):
        source = random_filter(dice)
        tree = parse_filter(source)
        expected, found = _matching(known, tree), await _found(milvus, tree)
        assert expected <= found, source
        wanted += len(expected)
        others += len(found - expected)
    assert others < wanted / 10


@pytest.mark.parametrize("source", _ASKED, ids=repr)
async def test_odd_values_and_keys_are_found(documents: Any, source: dict[str, Any]) -> None:
    milvus, known = documents
    tree = parse_filter(source)
    assert _matching(known, tree) <= await _found(milvus, tree)


@pytest.mark.parametrize(
    "source",
    [
        {"a": 1},
        {"a": {"$ne": "a"}},
        {"a": {"$in": [1, "b", None, True]}},
        {"a.b": {"$exists": True}},
        {"a": {"$gt": 0}},
        {"a": {"$lte": "ab"}},
        {"$not": {"a": {"$gt": 0, "$lt": 2}}},
        {"document_id": {"$nin": ["d1"]}},
        {"b": {"$contains": "ab"}},
    ],
    ids=repr,
)
async def test_what_is_usually_asked_is_said_exactly(documents: Any, source: dict[str, Any]) -> None:
    milvus, known = documents
    whole = [one for one in known if not ({"many"} & set(one.metadata)) and one.metadata not in _ODD]
    tree = parse_filter(source)
    asked = await _found(milvus, tree)
    assert {one.id for one in whole} & asked == _matching(whole, tree)


@pytest.mark.parametrize("tags", [[], ["x"], ["y"], ["x", "y"], ["te'am"]])
async def test_what_tags_let_be_seen_is_said_exactly(documents: Any, tags: list[str]) -> None:
    milvus, known = documents
    tree = AllOf((visible_to(tags), parse_filter({"document_id": {"$lt": "d6"}})))
    # Of a document whose terms are too many nothing is known: it is found, and dropped when it is joined.
    known = [one for one in known if "many" not in one.metadata]
    assert await _found(milvus, tree) & {one.id for one in known} == _matching(known, tree)


async def test_what_has_expired_is_not_found(documents: Any) -> None:
    milvus, _ = documents
    assert await milvus.rows("expressions", expression_of(None, 2**62), ["key"]) == []
