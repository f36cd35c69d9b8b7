"""`expires_at` over HTTP."""

import pytest
from asking import Ask

DOCUMENTS = "/v1/collections/docs/documents"
WAIT = f"{DOCUMENTS}?wait=true"
POINTS = "/v1/collections/mine/points"


@pytest.fixture
async def mine(ask: Ask) -> str:
    await ask("PUT", "/v1/collections/mine", {"dim": 2}, status=201)
    return "mine"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00.000Z"),
        ("2999-01-01T05:30:00+05:30", "2999-01-01T00:00:00.000Z"),
        ("2998-12-31T16:00:00.123456-08:00", "2999-01-01T00:00:00.123Z"),
    ],
)
async def test_a_moment_of_any_offset_is_kept_in_utc(
    ask: Ask, docs: str, mine: str, given: str, kept: str
) -> None:
    await ask("POST", POINTS, {"points": [{"id": "p", "vector": [1, 0], "expires_at": given}]})
    await ask("POST", WAIT, {"documents": [{"id": "d", "text": "words", "expires_at": given}]})
    assert (await ask("POST", f"{POINTS}/get", {"ids": ["p"]}))["points"][0]["expires_at"] == kept
    assert (await ask("GET", f"{DOCUMENTS}/d"))["expires_at"] == kept
    assert (await ask("PATCH", f"{DOCUMENTS}/kill", {"expires_at": given}))["expires_at"] == kept
    assert "expires_at" not in await ask("PATCH", f"{DOCUMENTS}/kill", {"expires_at": None})


async def test_what_has_expired_is_not_there(ask: Ask, docs: str, mine: str) -> None:
    over = "2001-01-01T00:00:00Z"
    await ask("POST", POINTS, {"points": [{"id": "p", "vector": [1, 0], "expires_at": over}]})
    await ask("PATCH", f"{DOCUMENTS}/kill", {"expires_at": over})
    assert await ask("GET", f"{POINTS}/count") == {"count": 0}
    assert (await ask("POST", "/v1/collections/mine/search", {"vector": [1, 0]}))["hits"] == []
    await ask("GET", f"{DOCUMENTS}/kill", status=404)
    await ask("PATCH", f"{DOCUMENTS}/kill", {"metadata": {}}, status=404)
    assert await ask("DELETE", f"{DOCUMENTS}/kill") == {"deleted": 0}
    listed = (await ask("GET", DOCUMENTS))["documents"]
    assert [document["id"] for document in listed] == ["hafen", "port"]
    hits = (await ask("POST", "/v1/collections/docs/search", {"query": "acknowledged write", "k": 9}))["hits"]
    assert {hit["document_id"] for hit in hits} == {"hafen", "port"}
    outcomes = await ask("POST", WAIT, {"documents": [{"id": "kill", "text": "again", "version": 0}]})
    assert outcomes["documents"][0]["status"] == "ready"


async def test_another_moment_or_audience_is_a_change(ask: Ask, docs: str) -> None:
    async def write(**fields: object) -> str:
        body = {"documents": [{"id": "x", "text": "the same", **fields}]}
        return (await ask("POST", WAIT, body))["documents"][0]["status"]

    later = {"expires_at": "2999-01-01T00:00:00Z", "acl": ["me"]}
    assert [await write(), await write(), await write(**later), await write(**later)] == [
        "ready",
        "unchanged",
        "ready",
        "unchanged",
    ]


async def test_a_job_keeps_the_moment_and_the_audience(ask: Ask, docs: str) -> None:
    given = {"id": "x", "text": "words", "expires_at": "2999-01-01T00:00:00Z", "acl": ["me"]}
    job = (await ask("POST", DOCUMENTS, {"documents": [given]}, status=202))["job"]
    while job["status"] != "finished":
        job = await ask("GET", f"/v1/jobs/{job['id']}")
    document = await ask("GET", f"{DOCUMENTS}/x")
    assert (document["expires_at"], document["acl"]) == ("2999-01-01T00:00:00.000Z", ["me"])


@pytest.mark.parametrize(
    "moment", ["tomorrow", "2030-01-01", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", "", 1893456000]
)
async def test_what_is_no_moment_is_a_422_that_names_the_field(ask: Ask, mine: str, moment: object) -> None:
    point = {"id": "p", "vector": [1, 0], "expires_at": moment}
    error = (await ask("POST", POINTS, {"points": [point]}, status=422))["error"]
    assert error["param"] == "points[0].expires_at"


async def test_a_moment_before_the_first_year_in_utc_is_a_422(ask: Ask, mine: str) -> None:
    point = {"id": "p", "vector": [1, 0], "expires_at": "0001-01-01T00:00:00+01:00"}
    error = (await ask("POST", POINTS, {"points": [point]}, status=422))["error"]
    assert error["param"] == "points.0.expires_at"
