"""Filters over HTTP: one meaning on every route that takes one, and limits that answer clearly."""

from typing import Any

import pytest
from asking import Ask

PATH = "/v1/collections/places"
METADATA: dict[str, dict[str, Any]] = {
    "a": {"kind": "harbour", "tags": ["sea", "old"], "meta": {"depth": 7}},
    "b": {"kind": "airport", "tags": ["air"], "meta": {"depth": None}},
    "c": {"kind": "harbour", "tags": [], "meta.depth": 12},
    "d": {},
}
CASES = [
    ({"kind": {"$ne": "harbour"}}, "bd"),
    ({"tags": {"$contains": "sea"}}, "a"),
    ({"kind": {"$contains": "port"}, "tags": {"$not_contains": "sea"}}, "b"),
    ({"meta.depth": {"$gte": 7}}, "ac"),
    ({"meta.depth": {"$exists": False}}, "d"),
    ({"$or": [{"kind": "airport"}, {"$not": {"tags": {"$exists": True}}}]}, "bd"),
    ({"document_id": {"$nin": ["a", "b", "c"]}}, "d"),
    ({}, "abcd"),
    ({"kind": "castle"}, ""),
]


@pytest.fixture
async def places(ask: Ask) -> None:
    await ask("PUT", PATH, {"dim": 2, "metric": "dot"}, status=201)
    rows = [
        {"id": id_, "vector": [1, n], "text": "quay", "metadata": METADATA[id_]}
        for n, id_ in enumerate(METADATA)
    ]
    await ask("POST", f"{PATH}/points", {"points": rows})


@pytest.mark.parametrize(("condition", "expected"), CASES)
async def test_search_scroll_count_and_delete_agree(
    ask: Ask, places: None, condition: dict, expected: str
) -> None:
    by_vector = await ask("POST", f"{PATH}/search", {"vector": [1, 1], "filter": condition})
    by_words = await ask("POST", f"{PATH}/search", {"query": "quay", "mode": "lexical", "filter": condition})
    page = await ask("POST", f"{PATH}/points/scroll", {"filter": condition})
    assert by_vector["plan"] == "filtered-exact"
    for found in (by_vector["hits"], by_words["hits"], page["points"]):
        assert sorted(each["id"] for each in found) == list(expected)
    counted = await ask("POST", f"{PATH}/points/count", {"filter": condition})
    assert counted == {"count": len(expected)}
    deleted = await ask("POST", f"{PATH}/points/delete", {"filter": condition})
    assert deleted == {"deleted": len(expected)}
    assert (await ask("POST", f"{PATH}/search", {"vector": [1, 1], "filter": condition}))["hits"] == []


async def test_types_under_one_key_never_meet(ask: Ask, places: None) -> None:
    values = {"one": 1, "float": 1.0, "two": 2, "text": "1", "true": True, "null": None, "list": [1]}
    points = [{"id": id_, "vector": [1, 1], "metadata": {"k": value}} for id_, value in values.items()]
    await ask("POST", f"{PATH}/points", {"points": points})
    for condition, expected in [
        (1, {"one", "float"}),
        ("1", {"text"}),
        (True, {"true"}),
        (None, {"null"}),
        ({"$gt": 0}, {"one", "float", "two"}),
        ({"$gt": "0"}, {"text"}),
        ({"$lte": 9.5}, {"one", "float", "two"}),
        ({"$contains": 1}, {"list"}),
        ({"$gt": 1, "$lt": "2"}, set()),
    ]:
        page = await ask("POST", f"{PATH}/points/scroll", {"filter": {"k": condition}})
        found = await ask("POST", f"{PATH}/search", {"vector": [1, 1], "k": 99, "filter": {"k": condition}})
        assert {point["id"] for point in page["points"]} == expected, condition
        assert {hit["id"] for hit in found["hits"]} == expected, condition
    counted = (await ask("POST", f"{PATH}/facets", {"key": "k"}))["values"]
    assert [(each["value"], each["count"]) for each in counted] == [
        (1, 3),
        (None, 1),
        (2, 1),
        ("1", 1),
        (True, 1),
    ]


@pytest.mark.parametrize("operator", ["$and", "$not"])
async def test_a_filter_of_hundreds_of_levels_is_a_clear_refusal(
    ask: Ask, places: None, operator: str
) -> None:
    deep: Any = {"kind": "x"}
    for _ in range(200):
        deep = {operator: deep if operator == "$not" else [deep]}
    error = (await ask("POST", f"{PATH}/search", {"vector": [1, 1], "filter": deep}, status=422))["error"]
    assert "16 deep" in error["message"]


async def test_nesting_that_no_decoder_takes_is_a_clear_refusal(client: Any, places: None) -> None:
    deep = '{"$not":' * 1_000 + "{}" + "}" * 1_000
    body = '{"vector": [1, 1], "filter": ' + deep + "}"
    answer = await client.post(
        f"{PATH}/search", data=body.encode(), headers={"content-type": "application/json"}
    )
    assert answer.status in (400, 422)
    assert (await answer.json())["error"]["message"]


async def test_a_refusal_names_the_operator_and_its_place(ask: Ask, places: None) -> None:
    condition = {"$or": [{"kind": "x"}, {"meta.depth": {"$between": [1, 2]}}]}
    for route, body in (
        ("search", {"vector": [1, 1]}),
        ("points/scroll", {}),
        ("points/count", {}),
        ("points/delete", {}),
    ):
        answer = await ask("POST", f"{PATH}/{route}", body | {"filter": condition}, status=422)
        assert "filter.$or[1].meta.depth.$between" in answer["error"]["message"]
        assert answer["error"]["param"] == "filter"
    assert (await ask("GET", f"{PATH}/points/count")) == {"count": 4}
