"""Points: vectors that clients bring."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from asking import Ask

PATH = "/v1/collections/mine/points"

POINTS = [
    {"id": "x", "vector": [1, 0, 0], "text": "along x", "metadata": {"axis": "x"}},
    {"id": "y", "vector": [0, 2, 0], "title": "Why"},
    {"id": "a/z", "vector": [0, 0, 0.5]},
]


@pytest.fixture
async def mine(ask: Ask) -> str:
    await ask("PUT", "/v1/collections/mine", {"dim": 3}, status=201)
    assert await ask("POST", PATH, {"points": POINTS}) == {"upserted": 3}
    return "mine"


async def test_points_come_back_in_the_order_asked_without_the_missing(ask: Ask, mine: str) -> None:
    wanted = {"ids": ["a/z", "nobody", "x"], "include": ["text", "metadata", "vector"]}
    points = (await ask("POST", f"{PATH}/get", wanted))["points"]
    assert [point["id"] for point in points] == ["a/z", "x"]
    assert points[0]["vector"] == [0, 0, 0.5]
    assert (points[1]["text"], points[1]["metadata"], points[1]["version"]) == ("along x", {"axis": "x"}, 1)


async def test_the_nearest_point_is_found(ask: Ask, mine: str) -> None:
    hits = (await ask("POST", "/v1/collections/mine/search", {"vector": [0.1, 1, 0], "k": 2}))["hits"]
    assert [hit["id"] for hit in hits] == ["y", "x"]


async def test_texts_of_points_are_found_by_words_without_any_model(ask: Ask, mine: str) -> None:
    hits = (await ask("POST", "/v1/collections/mine/search", {"query": "along"}))["hits"]
    assert [hit["id"] for hit in hits] == ["x"]


async def test_a_dense_search_by_words_without_a_model_says_what_to_send(ask: Ask, mine: str) -> None:
    body = {"query": "along", "mode": "dense"}
    assert (await ask("POST", "/v1/collections/mine/search", body, status=422))["error"]["param"] == "vector"


async def test_scrolling_passes_every_point_once(ask: Ask, mine: str) -> None:
    first = await ask("POST", f"{PATH}/scroll", {"limit": 2})
    second = await ask("POST", f"{PATH}/scroll", {"limit": 2, "after": first["next"]})
    assert [point["id"] for point in first["points"] + second["points"]] == ["x", "y", "a/z"]
    assert second["next"] is None


async def test_a_cursor_of_another_collection_is_a_400(ask: Ask, mine: str) -> None:
    after = (await ask("POST", f"{PATH}/scroll", {"limit": 2}))["next"]
    await ask("PUT", "/v1/collections/other", {"dim": 3}, status=201)
    for path, cursor in (("/v1/collections/other/points", after), (PATH, after[::-1]), (PATH, "2")):
        error = (await ask("POST", f"{path}/scroll", {"after": cursor}, status=400))["error"]
        assert (error["code"], error["param"]) == ("invalid_cursor", "after")
    assert (await ask("POST", f"{PATH}/scroll", {"after": 2}, status=422))["error"]["param"] == "after"


async def test_scrolling_takes_a_filter(ask: Ask, mine: str) -> None:
    page = await ask("POST", f"{PATH}/scroll", {"filter": {"axis": "x"}})
    assert [point["id"] for point in page["points"]] == ["x"]


async def test_a_point_can_be_replaced_deleted_and_come_back(ask: Ask, mine: str) -> None:
    await ask("POST", PATH, {"points": [{"id": "x", "vector": [0, 1, 0]}]})
    assert await ask("GET", f"{PATH}/count") == {"count": 3}
    assert await ask("POST", f"{PATH}/delete", {"ids": ["x"]}) == {"deleted": 1}
    assert await ask("GET", f"{PATH}/count") == {"count": 2}
    await ask("POST", PATH, {"points": POINTS[:1]})
    hits = (await ask("POST", "/v1/collections/mine/search", {"vector": [1, 0, 0], "k": 1}))["hits"]
    assert hits[0]["id"] == "x"


@pytest.mark.parametrize(
    "point",
    [
        {"id": "bad", "vector": [1, 2]},
        {"id": "bad", "vector": [0, 0, 0]},
        {"id": "bad", "vector": [1, 2, 1e300]},
        {"id": "bad", "vector": "AAAA"},
        {"id": "bad", "vector": [1, True, 0]},
        {"id": "bad", "vector": None},
        {"id": "bad"},
        {"id": "", "vector": [1, 2, 3]},
        {"id": "b" * 513, "vector": [1, 2, 3]},
        {"vector": [1, 2, 3]},
    ],
)
async def test_one_bad_point_refuses_all_and_changes_nothing(ask: Ask, mine: str, point: object) -> None:
    good = {"id": "good", "vector": [1, 1, 1]}
    await ask("POST", PATH, {"points": [good, point]}, status=422)
    assert await ask("GET", f"{PATH}/count") == {"count": 3}


async def test_an_id_with_nul_is_not_taken_for_what_stands_before_it(ask: Ask, mine: str) -> None:
    cut = ["x\0", "x\0y"]
    assert await ask("POST", f"{PATH}/delete", {"ids": cut}) == {"deleted": 0}
    assert await ask("DELETE", "/v1/collections/mine/documents/x%00y") == {"deleted": 0}
    assert await ask("POST", f"{PATH}/get", {"ids": cut}) == {"points": []}


@pytest.mark.parametrize(
    "metadata", [{"a": "x" * 65_536}, {"a": [[[[[[[[1]]]]]]]]}], ids=["too large", "too deep"]
)
async def test_metadata_over_its_limits_is_a_422(ask: Ask, mine: str, metadata: object) -> None:
    point = {"id": "x", "vector": [1, 1, 1], "metadata": metadata}
    assert (await ask("POST", PATH, {"points": [point]}, status=422))["error"]["code"] == "invalid_document"


async def test_vectors_may_have_4096_numbers(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/wide", {"dim": 4_096}, status=201)
    await ask("PUT", "/v1/collections/wider", {"dim": 4_097}, status=422)
    vector = [1.0, *[0.0] * 4_095]
    await ask("POST", "/v1/collections/wide/points", {"points": [{"id": "p", "vector": vector}]})
    hit = (await ask("POST", "/v1/collections/wide/search", {"vector": vector}))["hits"][0]
    assert (hit["id"], hit["score"]) == ("p", 1.0)


@pytest.mark.parametrize(
    ("point", "field"),
    [
        (b'"vector": [1, 1' + b"0" * 400 + b"]", "vector"),
        (b'"vector": [1, 2], "metadata": {"n": 1' + b"0" * 30 + b"}", "metadata"),
    ],
    ids=["vector", "metadata"],
)
async def test_numbers_beyond_all_measure_are_a_422_that_names_the_field(
    client: TestClient[Any, Any], mine: str, point: bytes, field: str
) -> None:
    body = b'{"points": [{"id": "huge", ' + point + b"}]}"
    headers = {"Content-Type": "application/json"}
    response = await client.post("/v1/collections/mine/points", data=body, headers=headers)
    assert response.status == 422
    assert (await response.json())["error"]["param"] == f"points.0.{field}"
