"""What no client should send: it gets a clear 4xx, changes nothing, and the service stays well."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from json_values import Schema, like
from real_service import Launcher, Service

MIB = 2**20
NOTES = "/v1/collections/notes"
DOCUMENTS = f"{NOTES}/documents?wait=true"
VECTORS = "/v1/collections/points"
POINTS = f"{VECTORS}/points"


@pytest.fixture(scope="module")
def guarded(shared_services: Launcher) -> Iterator[Service]:
    """A service with a collection of one document and one of points; it has to survive the module."""
    service = shared_services.start()
    with service.client() as client:
        create_collections(client)
    yield service
    with service.client() as client:
        assert client.get("/readyz").json()["ready"] is True
    assert not service.events("request_failed"), service.log_tail()


@pytest.fixture
def client(guarded: Service) -> Iterator[httpx.Client]:
    with guarded.client() as client:
        yield client


def create_collections(client: httpx.Client) -> None:
    client.put(NOTES, json={}).raise_for_status()
    client.put("/v1/collections/points", json={"dim": 2}).raise_for_status()
    document = {"id": "tides", "text": "The moon pulls the sea.", "metadata": {"lang": "en"}}
    client.post(DOCUMENTS, json={"documents": [document]}).raise_for_status()
    point = {"id": "p", "vector": [1, 2]}
    client.post(POINTS, json={"points": [point]}).raise_for_status()
    client.put("/v1/collections/wide", json={"dim": 4_096}).raise_for_status()


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a refused request; the envelope is as the contract says, and flat on TEI's routes."""
    assert 400 <= response.status_code < 500, (response.status_code, response.text)
    assert response.headers["x-request-id"]
    answer = response.json()
    assert "Traceback" not in response.text
    if "error_type" in answer:
        assert answer.keys() == {"error", "error_type"}
        return {"message": answer["error"], "type": answer["error_type"], "param": None, "code": None}
    (error,) = answer.values()
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def documents_in(client: httpx.Client) -> Any:
    return client.get(f"{NOTES}/documents").json()


def everything_in(client: httpx.Client) -> Any:
    pages = [client.post(f"{path}/scroll", json={}).json() for path in (f"{NOTES}/points", POINTS)]
    return [documents_in(client), client.get("/v1/collections/points/documents").json(), pages]


# --- too large -------------------------------------------------------------------------------------


def large_body(size: int) -> bytes:
    """A request that would be right if it were smaller."""
    return b'{"documents": [{"id": "large", "text": "' + b"sea " * (size // 4) + b'"}]}'


def post_json(client: httpx.Client, path: str, body: Any) -> httpx.Response:
    """``body`` as it is; an iterator goes in chunks, without a Content-Length."""
    return client.post(path, content=body, headers={"content-type": "application/json"})


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_50_mb_is_refused_and_changes_nothing(client: httpx.Client, *, chunked: bool) -> None:
    before = documents_in(client)
    body = large_body(50_000_000)
    pieces = (body[first : first + MIB] for first in range(0, len(body), MIB))
    response = post_json(client, DOCUMENTS, pieces if chunked else body)
    assert response.status_code == 413
    assert "max_json_bytes" in error_of(response)["message"]
    assert documents_in(client) == before


@pytest.fixture
def narrow(services: Launcher) -> Iterator[httpx.Client]:
    """A client of a service with small limits."""
    service = services.start("--max-json-bytes", "20kB", "--max-file-bytes", "100kB")
    with service.client() as client:
        create_collections(client)
        yield client
    assert list((service.data / "spool").iterdir()) == []


def test_the_limit_of_bodies_is_a_setting(narrow: httpx.Client) -> None:
    assert narrow.get("/v1/info").json()["limits"]["max_json_bytes"] == 20_000
    assert post_json(narrow, DOCUMENTS, large_body(19_000)).status_code == 200
    assert post_json(narrow, DOCUMENTS, large_body(21_000)).status_code == 413
    assert post_json(narrow, f"{NOTES}/search", b'{"query": "' + b"a" * 21_000 + b'"}').status_code == 413


def test_a_file_over_its_limit_is_refused_with_all_of_its_request(narrow: httpx.Client) -> None:
    before = documents_in(narrow)
    files = [("file", ("small.txt", b"The sea.")), ("file", ("large.txt", b"sea " * 26_000))]
    response = narrow.post(DOCUMENTS, files=files)
    assert response.status_code == 413
    assert "large.txt" in error_of(response)["message"]
    assert documents_in(narrow) == before


def test_files_may_be_larger_than_bodies(narrow: httpx.Client) -> None:
    files = [("file", (f"{n}.txt", b"The sea rises. " * 3_000)) for n in range(3)]
    answer = narrow.post(DOCUMENTS, files=files)
    assert [one["status"] for one in answer.json()["documents"]] == ["ready"] * 3


# --- not even JSON ---------------------------------------------------------------------------------

UNREADABLE = {
    "nothing": b"",
    "an unfinished object": b'{"documents": [',
    "a trailing comma": b'{"query": "sea",}',
    "two values": b'{"query": "sea"} {}',
    "single quotes": b"{'query': 'sea'}",
    "a byte order mark": b'\xef\xbb\xbf{"query": "sea"}',
    "UTF-16": '{"query": "sea"}'.encode("utf-16"),
    "invalid UTF-8": b'{"query": "\xff\xfe"}',
    "an overlong encoding": b'{"query": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"query": "\xed\xa0\x80"}',
    "a lone high surrogate": b'{"query": "\\ud800"}',
    "a lone low surrogate": b'{"query": "a\\udc00b"}',
    "NaN": b'{"vector": [NaN]}',
    "Infinity": b'{"min_score": Infinity}',
    "a control character": b'{"query": "a\x00b"}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep lists in a value": b'{"filter": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "deep metadata": b'{"documents": [{"text": "a", "metadata": '
    + b'{"a":' * 5_000
    + b"1"
    + b"}" * 5_000
    + b"}]}",
    "msgpack": b"\x81\xa5query\xa3sea",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_refused_by_every_route(client: httpx.Client, body: bytes) -> None:
    before = documents_in(client)
    for path in ("/v1/embeddings", "/v1/chat/completions", DOCUMENTS, f"{NOTES}/points", f"{NOTES}/search"):
        error_of(post_json(client, path, body))
    assert documents_in(client) == before


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x81", b"\xdf\xff\xff\xff\xff", b"\x91" * 100_000, b"\x80\x80"]
)
def test_broken_msgpack_is_refused(client: httpx.Client, body: bytes) -> None:
    for path in ("/v1/embeddings", DOCUMENTS, f"{NOTES}/search"):
        error_of(client.post(path, content=body, headers={"content-type": "application/msgpack"}))


# --- JSON that makes no sense ----------------------------------------------------------------------


def point(id_: str, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "vector": [1, 2], **fields}


def nested(levels: int, key: str = "k") -> Any:
    value: Any = {key: 1} if key == "k" else {"k": 1}
    for _ in range(levels - 1):
        value = {key: value}
    return value


SENSELESS: dict[str, tuple[str, Any]] = {
    "a list for an object": (f"{NOTES}/search", []),
    "a number for text": (f"{NOTES}/search", {"query": 1}),
    "a text for a number": (f"{NOTES}/search", {"query": "sea", "k": "10"}),
    "true for a number": (f"{NOTES}/search", {"query": "sea", "k": True}),
    "no results": (f"{NOTES}/search", {"query": "sea", "k": 0}),
    "too many results": (f"{NOTES}/search", {"query": "sea", "k": 10_001}),
    "a huge number": (f"{NOTES}/search", {"query": "sea", "k": 10**400}),
    "an unknown field": (f"{NOTES}/search", {"query": "sea", "top_k": 3}),
    "an unknown operator": (f"{NOTES}/search", {"query": "sea", "filter": {"a": {"$near": 1}}}),
    "an empty query": (f"{NOTES}/search", {"query": " "}),
    "a short vector": (f"{NOTES}/search", {"vector": [1.0]}),
    "a vector of words": (f"{NOTES}/search", {"vector": ["a"] * 64}),
    "a vector beyond float32": (POINTS, {"points": [{"id": "a", "vector": [1e300, 0]}]}),
    "a vector of nothing": (POINTS, {"points": [{"id": "a", "vector": [0, 0]}]}),
    "a vector that is no base64": (POINTS, {"points": [{"id": "a", "vector": "§"}]}),
    "a vector with NaN": (POINTS, {"points": [{"id": "a", "vector": "AADAfwAAAAA="}]}),
    "an id with a newline": (DOCUMENTS, {"documents": [{"id": "a\nb", "text": "sea"}]}),
    "an id with NUL": (DOCUMENTS, {"documents": [{"id": "a\x00", "text": "sea"}]}),
    "an id with DEL": (POINTS, {"points": [{"id": "\x7f", "vector": [1, 2]}]}),
    "an id too long": (DOCUMENTS, {"documents": [{"id": "é" * 257, "text": "sea"}]}),
    "an empty id": (DOCUMENTS, {"documents": [{"id": "", "text": "sea"}]}),
    "no documents": (DOCUMENTS, {"documents": []}),
    "an empty text": (DOCUMENTS, {"documents": [{"text": "sea"}, {"text": " \n"}]}),
    "text and data": (DOCUMENTS, {"documents": [{"text": "sea", "data": "c2Vh", "format": "text"}]}),
    "data that is no base64": (DOCUMENTS, {"documents": [{"data": "sea!", "format": "text"}]}),
    "metadata with NUL": (DOCUMENTS, {"documents": [{"text": "sea", "metadata": {"a": "\x00"}}]}),
    "metadata that is a list": (DOCUMENTS, {"documents": [{"text": "sea", "metadata": []}]}),
    "nothing to delete by": (f"{NOTES}/documents/delete", {}),
    "a vector with infinity": (POINTS, {"points": [{"id": "a", "vector": "AACAfwAAgD8="}]}),
    "a query with NaN": (f"{VECTORS}/search", {"vector": "AADAfwAAgD8="}),
    "a query of nothing": (f"{VECTORS}/search", {"vector": [0, 0]}),
    "one number too many": (POINTS, {"points": [point("a"), point("b", vector=[1, 2, 3])]}),
    "4,097 numbers": ("/v1/collections/wide/points", {"points": [{"id": "a", "vector": [1] * 4_097}]}),
    "a query of 4,097 numbers": ("/v1/collections/wide/search", {"vector": [1] * 4_097}),
    "metadata over 64 KiB": (POINTS, {"points": [point("a", metadata={"a": "x" * 65_536})]}),
    "metadata 9 deep": (POINTS, {"points": [point("a", metadata=nested(9))]}),
    "an id with NUL among points": (POINTS, {"points": [point("b"), point("p\x00")]}),
    "a filter 100 deep": (f"{POINTS}/delete", {"filter": nested(100, "$not")}),
    "a filter 1,000 wide": (f"{POINTS}/delete", {"filter": {"$or": [{"n": n} for n in range(1_000)]}}),
    "a filter of 1,000 keys": (f"{POINTS}/count", {"filter": {f"k{n}": n for n in range(1_000)}}),
    "a filter of 10,001 choices": (f"{POINTS}/scroll", {"filter": {"n": {"$in": list(range(10_001))}}}),
    "an operator that is none": (f"{POINTS}/delete", {"filter": {"$nor": [{"n": 1}]}}),
    "an order of booleans": (f"{POINTS}/delete", {"filter": {"n": {"$lt": True}}}),
    "ids and a filter": (f"{POINTS}/delete", {"ids": ["p"], "filter": {}}),
    "10,001 ids": (f"{POINTS}/get", {"ids": [f"p{n}" for n in range(10_001)]}),
    "no facets": (f"{VECTORS}/facets", {"key": "n", "limit": 0}),
    "one bad search": (f"{VECTORS}/search/batch", {"searches": [{"vector": [1, 2]}, {"vector": [1]}]}),
    "searches for too much": (f"{VECTORS}/search/batch", {"searches": [{"vector": [1, 2], "k": 10_000}] * 2}),
    "nothing to recommend by": (f"{VECTORS}/recommend", {"positive": []}),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body"), SENSELESS.values(), ids=SENSELESS.keys())
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    client: httpx.Client, path: str, body: Any
) -> None:
    before = everything_in(client)
    response = client.post(path, json=body)
    error_of(response)
    assert response.status_code == 422
    assert everything_in(client) == before


def test_what_nobody_has_is_a_404_or_nothing(client: httpx.Client) -> None:
    before = everything_in(client)
    for body in ({"positive": ["p", "nobody"]}, {"positive": ["p"], "negative": ["p\x00"]}):
        response = client.post(f"{VECTORS}/recommend", json=body)
        assert (response.status_code, error_of(response)["code"]) == (404, "not_found")
    ids = ["p\x00", "x" * 600, "p", *(f"nobody{n}" for n in range(9_997))]
    found = client.post(f"{POINTS}/get", json={"ids": ids}).json()["points"]
    assert [point["id"] for point in found] == ["p"]
    for nobody in ({"ids": ["p\x00", "x" * 600]}, {"filter": {"nothing": {"$exists": True}}}):
        assert client.post(f"{POINTS}/delete", json=nobody).json() == {"deleted": 0}
    for key in ("a.b.c", ".", "\x00", "x" * 100_000, ".".join("a" * 10_000)):
        assert client.post(f"{VECTORS}/facets", json={"key": key}).json() == {"values": [], "total": 0}
    assert everything_in(client) == before


def test_a_cursor_of_another_collection_is_a_400(client: httpx.Client) -> None:
    with_two = [{"id": id_, "vector": [1] * 4_096} for id_ in ("a", "b")]
    client.post("/v1/collections/wide/points", json={"points": with_two}).raise_for_status()
    foreign = client.post("/v1/collections/wide/points/scroll", json={"limit": 1}).json()["next"]
    for cursor in (foreign, "", foreign[:-1], "x" * 100_000):
        response = client.post(f"{POINTS}/scroll", json={"after": cursor})
        assert (response.status_code, error_of(response)["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("field", [b"\xa9min_score", b"\xa3mmr\x81\xa9diversity"])
def test_what_only_msgpack_can_bring_is_no_number_either(client: httpx.Client, field: bytes) -> None:
    nan = b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"
    body = b"\x82\xa6vector\x92\x01\x02" + field + nan
    response = client.post(f"{VECTORS}/search", content=body, headers={"content-type": "application/msgpack"})
    error_of(response)
    assert response.status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        f"{NOTES}/documents/%00",
        f"{NOTES}/documents/%ff",
        f"{NOTES}/documents/%ed%a0%80",
        f"{NOTES}/documents/{'a' * 4000}",
        f"{NOTES}/documents?limit=all",
        f"{NOTES}/documents?after=%ff",
        f"{NOTES}/documents?limit=0",
        f"{NOTES}/documents?unknown=1",
        "/v1/collections/..%2f..",
        "/v1/collections/%00",
        "/v1/jobs/%00",
        "/v1/jobs/notes.%ff",
        "/%ff",
    ],
)
def test_strange_addresses_are_no_failures_of_the_service(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code < 500
    if response.is_error:
        error_of(response)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n--y--"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nsea'),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nsea\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"a" * 100_000 + b"\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"a: b\r\n" * 100_000 + b"\r\n\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n\r\nsea\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 100, b"--x--"),
        ("multipart/mixed; boundary=x", b"--x--"),
        ("text/plain", b"sea"),
        ("no type at all", b"{}"),
    ],
)
def test_broken_uploads_are_refused(client: httpx.Client, content_type: str, body: bytes) -> None:
    error_of(client.post(DOCUMENTS, content=body, headers={"content-type": content_type}))


@pytest.mark.parametrize(
    "fields",
    [{"metadata": "{"}, {"metadata": "[]"}, {"metadata": b"\xff"}, {"password": b"\xff"}, {"color": "red"}],
)
def test_uploads_with_wrong_fields_are_refused(client: httpx.Client, fields: dict[str, Any]) -> None:
    before = documents_in(client)
    error_of(client.post(DOCUMENTS, files={"file": ("a.txt", b"sea")}, data=fields))
    assert documents_in(client) == before


@pytest.mark.parametrize(
    "name",
    [
        b'filename=""',
        b'filename="a\x00b"',
        b'filename="a\x1fb"',
        b"filename*=utf-8''a%00b",
        b'filename="' + b"a" * 600 + b'"',
    ],
)
def test_files_with_names_that_are_no_ids_are_refused(client: httpx.Client, name: bytes) -> None:
    before = documents_in(client)
    head = b'Content-Disposition: form-data; name="file"; ' + name
    body = b"--x\r\n" + head + b"\r\n\r\nsea\r\n--x--\r\n"
    error_of(
        client.post(DOCUMENTS, content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    )
    assert documents_in(client) == before


# --- anything --------------------------------------------------------------------------------------


def routes_with_bodies(description: Schema) -> list[tuple[str, str, Schema]]:
    """Method, path and schema of the body of every route that takes JSON."""
    found = []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if body := operation.get("requestBody", {}).get("content", {}).get("application/json"):
                found.append((method, path, body["schema"]))
    return found


@pytest.mark.thorough
def test_no_json_whatsoever_makes_the_service_fail(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    routes = routes_with_bodies(description)
    schemas = description["components"]["schemas"]
    assert {"/v1/embeddings", "/v1/collections/{name}/search"} <= {path for _, path, _ in routes}
    statuses = []

    @settings(
        max_examples=600, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(routes).flatmap(lambda route: st.tuples(st.just(route), like(route[2], schemas))),
           st.sampled_from(["notes", "points"]))  # fmt: skip
    def send(request: tuple[tuple[str, str, Schema], Any], collection: str) -> None:
        (method, path, _), body = request
        response = client.request(method, path.replace("{name}", collection), json=body)
        assert response.status_code < 500, (method, path, json.dumps(body), response.text)
        if response.is_error:
            error_of(response)
        statuses.append(response.status_code)

    send()
    assert len(statuses) >= 200
    assert {200, 422} <= set(statuses)
