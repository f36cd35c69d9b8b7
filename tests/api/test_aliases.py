"""Aliases over HTTP."""

from typing import Any

import pytest
from asking import Ask

POINT = {"id": "a", "vector": [1.0, 0.0]}


@pytest.fixture
async def two(ask: Ask) -> Ask:
    """A service with the collections "first", which has a point, and "second"."""
    for name in ("first", "second"):
        await ask("PUT", f"/v1/collections/{name}", {"dim": 2}, status=201)
    await ask("POST", "/v1/collections/first/points", {"points": [POINT]})
    return ask


async def test_a_collection_is_reached_by_its_alias(two: Ask) -> None:
    given = await two("PUT", "/v1/aliases/live", {"collection": "first"}, status=201)
    assert given == {"alias": "live", "collection": "first"}
    assert (await two("GET", "/v1/collections/live"))["name"] == "first"
    found = await two("POST", "/v1/collections/live/search", {"vector": [1.0, 0.0]})
    assert [hit["id"] for hit in found["hits"]] == ["a"]
    assert "extractive@live" in [model["id"] for model in (await two("GET", "/v1/models"))["data"]]


async def test_an_alias_is_given_to_another_collection(two: Ask) -> None:
    await two("PUT", "/v1/aliases/live", {"collection": "first"}, status=201)
    await two("PUT", "/v1/aliases/live", {"collection": "second"})
    assert await two("GET", "/v1/aliases") == {"aliases": [{"alias": "live", "collection": "second"}]}
    assert (await two("GET", "/v1/collections/live/points/count")) == {"count": 0}


async def test_an_alias_is_taken_away_and_its_collection_stays(two: Ask) -> None:
    await two("PUT", "/v1/aliases/live", {"collection": "first"}, status=201)
    assert await two("DELETE", "/v1/aliases/live") == {"deleted": 1}
    assert await two("DELETE", "/v1/aliases/live") == {"deleted": 0}
    assert (await two("GET", "/v1/collections/first/points/count")) == {"count": 1}


@pytest.mark.parametrize(
    ("route", "body", "status", "code"),
    [
        ("PUT /v1/aliases/second", {"collection": "first"}, 409, "name_taken"),
        ("PUT /v1/aliases/newest", {"collection": "live"}, 409, "name_taken"),
        ("PUT /v1/collections/live", {"dim": 2}, 409, "name_taken"),
        ("DELETE /v1/collections/live", None, 409, "name_taken"),
        ("PUT /v1/aliases/other", {"collection": "third"}, 404, "collection_not_found"),
        ("PUT /v1/aliases/Other", {"collection": "first"}, 422, "invalid_name"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    two: Ask, route: str, body: Any, status: int, code: str
) -> None:
    await two("PUT", "/v1/aliases/live", {"collection": "first"}, status=201)
    assert (await two(*route.split(), body, status=status))["error"]["code"] == code
    assert await two("GET", "/v1/aliases") == {"aliases": [{"alias": "live", "collection": "first"}]}
