"""Values of a metadata key, and counting, over HTTP."""

from typing import Any

import pytest
from asking import Ask

PATH = "/v1/collections/docs/facets"


async def test_values_are_counted_in_points(ask: Ask, docs: str) -> None:
    answer = await ask("POST", PATH, {"key": "lang"})
    assert answer == {"values": [{"value": "en", "count": 2}, {"value": "de", "count": 1}], "total": 2}


async def test_a_limit_says_how_many_values_there_are_in_all(ask: Ask, docs: str) -> None:
    answer = await ask("POST", PATH, {"key": "year", "limit": 1})
    assert answer == {"values": [{"value": 2024, "count": 2}], "total": 2}


async def test_a_filter_narrows_what_is_counted(ask: Ask, docs: str) -> None:
    answer = await ask("POST", PATH, {"key": "lang", "filter": {"year": 2024}})
    assert [one["value"] for one in answer["values"]] == ["de", "en"]
    assert await ask("POST", PATH, {"key": "nothing"}) == {"values": [], "total": 0}


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ({}, "key"),
        ({"key": ""}, "key"),
        ({"key": "lang", "limit": 0}, "limit"),
        ({"key": "lang", "limit": 1_001}, "limit"),
        ({"key": "lang", "filter": {"a": {"$near": 1}}}, "filter"),
    ],
)
async def test_a_question_for_values_that_makes_no_sense_is_a_422(
    ask: Ask, docs: str, body: dict[str, Any], blamed: str
) -> None:
    error = (await ask("POST", PATH, body, status=422))["error"]
    assert blamed in (error["param"] or error["message"])


async def test_points_are_counted_with_and_without_a_filter(ask: Ask, docs: str) -> None:
    path = "/v1/collections/docs/points/count"
    assert await ask("POST", path, {"filter": {"lang": "en"}}) == {"count": 2}
    assert await ask("POST", path, {}) == await ask("GET", path) == {"count": 3}
    assert (await ask("POST", path, {"filter": {"$no": 1}}, status=422))["error"]["param"] == "filter"


async def test_a_missing_collection_has_no_values(ask: Ask) -> None:
    await ask("POST", PATH, {"key": "lang"}, status=404)
    await ask("POST", "/v1/collections/docs/points/count", {}, status=404)
