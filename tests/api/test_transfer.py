"""What is exported can be imported, and is the same to the bit; what is wrong is said with its line."""

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientPayloadError
from aiohttp.test_utils import TestClient
from asking import Ask

from api.http import jsonl
from api.services.container import Services
from index.errors import StorageFailed

DIM = 4
VECTOR = np.array([0.1, -2.5, 3e-8, 1 / 3], dtype="<f4")
ENCODED = base64.b64encode(VECTOR.tobytes()).decode()
Client = TestClient[Any, Any]


@pytest.fixture
async def points(ask: Ask) -> str:
    await ask("PUT", "/v1/collections/points", {"dim": DIM}, status=201)
    return "points"


async def exported(client: Client, name: str, **query: str) -> list[Any]:
    response = await client.get(f"/v1/collections/{name}/export", params=query)
    assert (response.status, response.content_type) == (200, "application/x-ndjson")
    return [json.loads(line) for line in (await response.text()).splitlines()]


async def imported(client: Client, name: str, lines: list[Any], *, status: int = 200) -> Any:
    body = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    response = await client.post(f"/v1/collections/{name}/import", data=io.BytesIO(body))
    answer = await response.json()
    assert response.status == status, answer
    return answer


async def test_documents_come_back_with_all_that_belongs_to_them(client: Client, docs: str, ask: Ask) -> None:
    text = "# Tides\n\nThe moon pulls the sea.\n\n# Wind\n\nPressure moves the air.\n"
    long = {
        "id": "ümlaut/x",
        "text": text * 40,
        "format": "markdown",
        "metadata": {"a": [1, 1.0, True, None, "1"]},
    }
    for _ in range(2):
        await ask("POST", f"/v1/collections/{docs}/documents?wait=true", {"documents": [long]})
        long["title"] = "Again"
    lines = await exported(client, docs)
    head, *documents = lines
    assert head["collection"]["model"] == "fake"
    assert [line["id"] for line in documents] == ["hafen", "kill", "port", "ümlaut/x"]
    assert documents[3]["version"] == 2
    assert len(documents[3]["passages"]) > 1
    await ask("PUT", "/v1/collections/copy", {}, status=201)
    assert await imported(client, "copy", lines) == {"imported": 4, "unchanged": 0}
    assert (await exported(client, "copy"))[1:] == documents
    for name in (docs, "copy"):
        page = await ask("GET", f"/v1/collections/{name}/documents?limit=10")
        found = await ask("POST", f"/v1/collections/{name}/search", {"query": "moon", "k": 3})
        assert found["hits"]
        assert [each["id"] for each in page["documents"]] == [line["id"] for line in documents]
        quoted = await ask("GET", f"/v1/collections/{name}/documents/ümlaut%2Fx?include=text")
        for passage in documents[3]["passages"]:
            assert quoted["text"][passage["start"] : passage["end"]] == passage["text"]


async def test_an_imported_document_is_unchanged_when_it_is_ingested_again(
    client: Client, docs: str, ask: Ask
) -> None:
    await ask("PUT", "/v1/collections/copy", {}, status=201)
    await imported(client, "copy", await exported(client, docs))
    same = {"id": "hafen", "text": "Der Dienst lauscht auf Port 8080.", "title": "Hafen"}
    same["metadata"] = {"lang": "de", "year": 2024}
    answer = await ask("POST", "/v1/collections/copy/documents?wait=true", {"documents": [same]})
    assert answer["documents"][0]["status"] == "unchanged"


async def test_points_come_back_to_the_bit(client: Client, points: str, ask: Ask) -> None:
    point = {
        "id": "p",
        "vector": ENCODED,
        "text": "words",
        "title": "T",
        "metadata": {"n": 1.0, "big": 2**60},
    }
    point |= {"expires_at": "2100-01-01T00:00:00+02:00", "acl": ["team"]}
    await ask("POST", f"/v1/collections/{points}/points", {"points": [point]})
    lines = await exported(client, points)
    assert lines[1]["vector"] == ENCODED
    assert lines[1]["expires_at"] == "2099-12-31T22:00:00.000Z"
    await ask("PUT", "/v1/collections/copy", {"dim": DIM}, status=201)
    await imported(client, "copy", lines)
    assert (await exported(client, "copy"))[1:] == lines[1:]
    assert type(lines[1]["metadata"]["n"]) is float


async def test_token_vectors_are_kept(client: Client, ask: Ask) -> None:
    for name in ("late", "copy"):
        await ask("PUT", f"/v1/collections/{name}", {"token_vectors": "2bit"}, status=201)
    body = {"documents": [{"id": "a", "text": "The moon pulls the sea."}]}
    await ask("POST", "/v1/collections/late/documents?wait=true", body)
    lines = await exported(client, "late")
    assert lines[1]["passages"][0]["token_vectors"]
    await imported(client, "copy", lines)
    assert (await exported(client, "copy"))[1:] == lines[1:]
    await ask("PUT", "/v1/collections/plain", {}, status=201)
    answer = await imported(client, "plain", lines, status=422)
    assert "not those of this collection" in answer["error"]["message"]


async def test_an_import_that_is_sent_again_writes_only_what_is_missing(
    client: Client, points: str, ask: Ask
) -> None:
    body = {"points": [{"id": f"p{n}", "vector": ENCODED} for n in range(5)]}
    await ask("POST", f"/v1/collections/{points}/points", body)
    lines = await exported(client, points)
    await ask("PUT", "/v1/collections/copy", {"dim": DIM}, status=201)
    await imported(client, "copy", lines[:3])
    assert await imported(client, "copy", lines) == {"imported": 3, "unchanged": 2}
    assert (await ask("GET", "/v1/collections/copy/points/count"))["count"] == 5


async def test_an_export_goes_on_behind_an_id(client: Client, points: str, ask: Ask) -> None:
    body = {"points": [{"id": f"p{n}", "vector": ENCODED} for n in range(5)]}
    await ask("POST", f"/v1/collections/{points}/points", body)
    assert [line["id"] for line in await exported(client, points, after="p2")] == ["p3", "p4"]
    assert await exported(client, points, after="p4") == []


async def test_many_documents_of_many_sizes_are_all_met_once(
    client: Client, points: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.jsonl._BLOCK_BYTES", 10_000)  # many blocks
    passage = {"start": 0, "end": 3, "vector": ENCODED, "text": "abc"}
    lines = [
        {"id": f"d{n:04}", "text": "abc" * (n % 7 * 1000 + 1), "passages": [passage] * (n % 5)}
        if n % 2
        else {"id": f"d{n:04}", "vector": ENCODED}
        for n in range(1500)
    ]
    assert await imported(client, points, lines) == {"imported": 1500, "unchanged": 0}
    found = (await exported(client, points))[1:]
    assert [line["id"] for line in found] == [line["id"] for line in lines]
    for line, wrote in zip(found, lines, strict=True):
        assert {**wrote, **line} == line


async def test_lines_written_by_hand_need_little(client: Client, points: str, ask: Ask) -> None:
    lines = [{"id": "a", "vector": [1, 2, 3, 4], "text": "one"}, b"\n", {"id": "a", "vector": [4, 3, 2, 1.5]}]
    assert await imported(client, points, lines) == {"imported": 2, "unchanged": 0}
    (found,) = (await ask("POST", f"/v1/collections/{points}/points/get", {"ids": ["a"]}))["points"]
    assert (found["text"], found["version"]) == (None, 1)


async def test_the_last_line_may_lack_its_end(client: Client, points: str) -> None:
    line = json.dumps({"id": "a", "vector": ENCODED}).encode()
    assert await imported(client, points, [line]) == {"imported": 1, "unchanged": 0}


GOOD = {"id": "a", "vector": ENCODED}
PASSAGE = {"start": 0, "end": 1, "vector": ENCODED}


WRONG = [
    (b"{\n", 400, "line 3: the body is not valid JSON"),
    (b"\xff\n", 400, "line 3"),
    ([], 422, "line 3: Expected `object`"),
    ({**GOOD, "colour": 1}, 422, "line 3: Object contains unknown field `colour`"),
    ({"id": "a"}, 422, "line 3: send either `vector` (a point) or `passages` (a document)"),
    ({**GOOD, "passages": []}, 422, "line 3: send either"),
    ({**GOOD, "vector": "???"}, 422, "line 3: Invalid base64 encoded string - at `vector`"),
    ({**GOOD, "vector": [1]}, 422, "has the shape (1,)"),
    ({**GOOD, "vector": [0, 0, 0, 0]}, 422, "is zero"),
    ({**GOOD, "id": ""}, 422, "line 3"),
    ({**GOOD, "id": "\u0000"}, 422, "control characters"),
    ({**GOOD, "version": 3}, 422, "line 3: `version`, `created_at` and `updated_at` come together"),
    ({**GOOD, "version": 2**63 - 1}, 422, "line 3"),
    ({"id": "a", "text": "x", "passages": [{**PASSAGE, "page": 2**63}]}, 422, "line 3"),
    ({"id": "a", "text": "x", "passages": [{**PASSAGE, "tokens": 2**31}]}, 422, "line 3"),
    ({**GOOD, "expires_at": "soon"}, 422, "line 3"),
    ({**GOOD, "expires_at": "9999-12-31T23:59:59-10:00"}, 422, "line 3: expires_at is out of range"),
    ({"id": "a", "passages": [{**PASSAGE, "start": 2}]}, 422, "line 3: passages.0 goes from 2 to 1"),
    ({"id": "a", "text": "", "passages": [PASSAGE]}, 422, "line 3: passages.0 goes from 0 to 1"),
    (
        {"id": "a", "passages": [{**PASSAGE, "token_vectors": "AAAA"}]},
        422,
        "not those of this collection",
    ),
    ({"collection": {}}, 422, "line 3"),
]


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_line_that_is_wrong_is_named_and_nothing_of_its_block_is_written(
    client: Client, points: str, ask: Ask, wrong: tuple[Any, int, str]
) -> None:
    line, status, said = wrong
    answer = await imported(client, points, [GOOD | {"id": "x"}, GOOD | {"id": "y"}, line], status=status)
    assert said in answer["error"]["message"]
    assert (await ask("GET", f"/v1/collections/{points}/points/count"))["count"] == 0


async def test_a_line_over_the_limit_is_refused(
    client: Client, points: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.http.jsonl._BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr("api.http.jsonl.blocks_of", lambda request, _: _limited(request))
    answer = await imported(client, points, [b'{"id": "' + b"x" * 300_000 + b'"}'], status=413)
    assert "larger than max_json_bytes" in answer["error"]["message"]


_blocks_of = jsonl.blocks_of


def _limited(request: Any) -> AsyncIterator[bytes]:
    return _blocks_of(request, 100_000)


async def test_vectors_of_other_weights_are_refused(client: Client, docs: str, ask: Ask) -> None:
    head, *documents = await exported(client, docs)
    head["collection"]["model_sha256"] = "0" * 64
    answer = await imported(client, docs, [head, *documents], status=409)
    assert answer["error"]["code"] == "model_changed"


async def test_a_collection_that_is_not_there_is_a_404(client: Client) -> None:
    assert (await client.get("/v1/collections/none/export")).status == 404
    await imported(client, "none", [GOOD], status=404)


async def test_an_export_that_fails_on_the_way_does_not_look_whole(
    client: Client, points: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_after: str | None = None) -> Any:
        raise StorageFailed("the disk is gone")

    monkeypatch.setattr(type(await services.catalog.get(points)), "copies", lambda _self, after: fail(after))
    with pytest.raises(ClientPayloadError):
        await exported(client, points)


async def test_openapi_tells_of_both(client: Client) -> None:
    paths = (await (await client.get("/openapi.json")).json())["paths"]
    body = paths["/v1/collections/{name}/import"]["post"]["requestBody"]
    assert body["content"]["application/x-ndjson"]["schema"]["$ref"].endswith("/DocumentLine")
    assert (
        "application/x-ndjson" in paths["/v1/collections/{name}/export"]["get"]["responses"]["200"]["content"]
    )
