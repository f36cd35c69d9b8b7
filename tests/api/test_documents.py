"""Documents over HTTP: JSON and multipart, at once and as jobs."""

import asyncio
import base64
import errno
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp.test_utils import TestClient
from asking import Ask
from office_files import pptx, shape

from api.http import uploads
from api.services.container import Services
from api.services.incoming import WINDOW_BYTES, WINDOW_DOCUMENTS, Incoming, windows
from embedd.embedder import Embedder, Embeddings, Truncated
from embedd.errors import InvalidInput

PATH = "/v1/collections/docs/documents"
WAIT = f"{PATH}?wait=true"


def form(*files: tuple[str, bytes, str], **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, content, media_type in files:
        data.add_field("file", content, filename=name, content_type=media_type)
    for name, value in fields.items():
        data.add_field(name, value)
    return data


async def test_a_written_document_can_be_read_back_with_its_text(ask: Ask, docs: str) -> None:
    document = await ask("GET", f"{PATH}/kill?include=text")
    assert document["title"] == "Durability"
    assert document["metadata"] == {"lang": "en", "year": 2024}
    assert document["text"].startswith("An acknowledged write")
    assert (document["version"], document["passages"], document["characters"]) == (
        1,
        1,
        len(document["text"]),
    )
    assert "text" not in await ask("GET", f"{PATH}/kill")


async def test_the_same_document_again_is_unchanged_and_costs_nothing(ask: Ask, docs: str) -> None:
    again = {"documents": [{"id": "x", "text": "the same"}]}
    first = (await ask("POST", WAIT, again))["documents"][0]
    second = (await ask("POST", WAIT, again))["documents"][0]
    assert (first["status"], first["passages"]) == ("ready", 1)
    assert first["tokens"] > 0
    assert (second["status"], second["tokens"]) == ("unchanged", 0)


async def test_a_changed_document_replaces_the_old_one(ask: Ask, docs: str) -> None:
    await ask("POST", WAIT, {"documents": [{"id": "kill", "text": "Completely other words now."}]})
    assert (await ask("GET", f"{PATH}/kill"))["version"] == 2
    search = {"query": "acknowledged survives", "mode": "lexical"}
    assert (await ask("POST", "/v1/collections/docs/search", search))["hits"] == []


async def test_of_one_id_given_twice_the_last_counts(ask: Ask, docs: str) -> None:
    twice = [{"id": "t", "text": "first"}, {"id": "t", "text": "second"}]
    outcomes = (await ask("POST", WAIT, {"documents": twice}))["documents"]
    assert [outcome["id"] for outcome in outcomes] == ["t", "t"]
    assert (await ask("GET", f"{PATH}/t?include=text"))["text"] == "second"


async def test_a_document_without_an_id_gets_one(ask: Ask, docs: str) -> None:
    outcome = (await ask("POST", WAIT, {"documents": [{"text": "anonymous"}]}))["documents"][0]
    assert (await ask("GET", f"{PATH}/{outcome['id']}"))["id"] == outcome["id"]


async def test_ids_may_hold_slashes(client: TestClient[Any, Any], ask: Ask, docs: str) -> None:
    await ask("POST", WAIT, {"documents": [{"id": "a/b c.md", "text": "nested"}]})
    assert (await ask("GET", f"{PATH}/a%2Fb%20c.md"))["id"] == "a/b c.md"
    assert await ask("DELETE", f"{PATH}/a%2Fb%20c.md") == {"deleted": 1}


async def test_documents_are_listed_page_by_page(ask: Ask, docs: str) -> None:
    first = await ask("GET", f"{PATH}?limit=2")
    second = await ask("GET", f"{PATH}?limit=2&after={first['next']}")
    assert [one["id"] for one in first["documents"] + second["documents"]] == ["hafen", "kill", "port"]
    assert second["next"] is None


async def test_deleting_takes_ids_or_a_filter_and_what_is_gone_is_fine(ask: Ask, docs: str) -> None:
    assert await ask("POST", f"{PATH}/delete", {"ids": ["kill", "never-there"]}) == {"deleted": 1}
    assert await ask("POST", f"{PATH}/delete", {"filter": {"lang": "de"}}) == {"deleted": 1}
    assert await ask("DELETE", f"{PATH}/kill") == {"deleted": 0}
    assert [one["id"] for one in (await ask("GET", PATH))["documents"]] == ["port"]


@pytest.mark.parametrize("body", [{}, {"ids": ["a"], "filter": {}}])
async def test_deleting_needs_exactly_one_choice(ask: Ask, docs: str, body: object) -> None:
    await ask("POST", f"{PATH}/delete", body, status=422)
    assert len((await ask("GET", PATH))["documents"]) == 3


async def test_files_arrive_by_multipart_under_their_names(
    client: TestClient[Any, Any], ask: Ask, docs: str
) -> None:
    page = (
        b"<html><head><title>Whales</title></head><body><h1>Blue</h1><p>Blue whales sing.</p></body></html>"
    )
    files = form(
        ("notes.md", b"# Tides\n\nThe moon pulls the sea.", "text/markdown"),
        ("whale.html", page, "text/html"),
        metadata=json.dumps({"team": "sea"}),
    )
    response = await client.post(WAIT, data=files)
    outcomes = (await response.json())["documents"]
    assert [(one["id"], one["status"]) for one in outcomes] == [
        ("notes.md", "ready"),
        ("whale.html", "ready"),
    ]
    assert (await ask("GET", f"{PATH}/whale.html"))["title"] == "Whales"
    assert (await ask("GET", f"{PATH}/notes.md"))["metadata"] == {"team": "sea"}


@pytest.mark.parametrize("wait", [True, False])
async def test_files_expire_carry_tags_and_are_written_for_a_version(
    client: TestClient[Any, Any], ask: Ask, docs: str, wait: bool
) -> None:
    fields = {"expires_at": "2999-01-01T01:00:00+01:00", "acl": '["me", "du"]'}

    async def send(version: int, *names: str) -> tuple[int, Any]:
        files = [(name, b"Tides at " + name.encode(), "text/plain") for name in names]
        response = await client.post(
            WAIT if wait else PATH, data=form(*files, version=str(version), **fields)
        )
        answer = await response.json()
        if response.status == 202:
            await finished(ask, answer["job"]["id"])
        return response.status, answer

    done = 200 if wait else 202
    assert (await send(0, "a.txt", "b.txt"))[0] == done
    for name in ("a.txt", "b.txt"):
        document = await ask("GET", f"{PATH}/{name}")
        assert (document["expires_at"], document["acl"]) == ("2999-01-01T00:00:00.000Z", ["me", "du"])
    status, answer = await send(0, "c.txt", "a.txt")
    assert (status, answer["error"]["code"]) == (409, "version_conflict")
    await ask("GET", f"{PATH}/c.txt", status=404)
    fields["acl"] = "[]"
    assert (await send(1, "a.txt"))[0] == done
    document = await ask("GET", f"{PATH}/a.txt")
    assert (document["version"], "acl" in document) == (2, False)


async def test_a_form_for_another_version_is_another_request(client: TestClient[Any, Any], docs: str) -> None:
    statuses = []
    for version in ("0", "0", "1"):
        data = form(("a.txt", b"x", "text/plain"), version=version)
        response = await client.post(WAIT, data=data, headers={"Idempotency-Key": "one"})
        statuses.append(response.status)
    assert statuses == [200, 200, 422]


async def test_the_description_of_the_api_has_every_part_of_a_form(ask: Ask) -> None:
    described = (await ask("GET", "/openapi.json"))["paths"]["/v1/collections/{name}/documents"]["post"]
    schema = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert list(schema["properties"]) == ["file", "metadata", "password", "version", "expires_at", "acl"]
    assert schema["properties"]["version"]["minimum"] == 0


async def test_a_file_that_cannot_be_read_fails_alone_with_its_reason(
    client: TestClient[Any, Any], ask: Ask, docs: str
) -> None:
    files = form(
        ("good.txt", b"Good text.", "text/plain"),
        ("broken.pdf", b"%PDF-1.4 nothing follows", "application/pdf"),
        ("empty.txt", b"", "text/plain"),
    )
    outcomes = (await (await client.post(WAIT, data=files)).json())["documents"]
    assert [one["status"] for one in outcomes] == ["ready", "failed", "failed"]
    assert [one["code"] for one in outcomes[1:]] == ["broken", "empty"]
    assert all(one["error"] for one in outcomes[1:])
    assert (await ask("GET", f"{PATH}/broken.pdf", status=404))["error"]["code"] == "not_found"


async def test_a_file_may_come_in_json(ask: Ask, docs: str) -> None:
    data = base64.b64encode(b"<title>T</title><p>Inside JSON.</p>").decode()
    document = {"id": "j", "data": data, "format": "html"}
    assert (await ask("POST", WAIT, {"documents": [document]}))["documents"][0]["status"] == "ready"
    assert "Inside JSON." in (await ask("GET", f"{PATH}/j?include=text"))["text"]


async def test_slides_are_pages_of_what_is_found(client: TestClient[Any, Any], ask: Ask, docs: str) -> None:
    apples = shape("title", "Apples") + shape("body", "red")
    talk = pptx(apples, shape("title", "Pears") + shape("body", "green"))
    await client.post(WAIT, data=form(("talk.pptx", talk, "application/octet-stream")))
    text = (await ask("GET", f"{PATH}/talk.pptx?include=text"))["text"]
    assert text == "## Apples\n\n- red\n\n## Pears\n\n- green"
    [hit] = (await ask("POST", "/v1/collections/docs/search", {"query": "pears", "mode": "lexical"}))["hits"]
    assert hit["text"] == text[hit["start"] : hit["end"]]
    assert hit["page"] in {1, 2}


async def test_without_wait_a_job_does_the_work(client: TestClient[Any, Any], ask: Ask, docs: str) -> None:
    accepted = await ask("POST", PATH, {"documents": [{"id": "later", "text": "by a job"}]}, status=202)
    job = await finished(ask, accepted["job"]["id"])
    assert (job["total"], job["done"], job["failed"]) == (1, 1, 0)
    assert [one["status"] for one in job["documents"]] == ["ready"]
    assert (await ask("GET", f"{PATH}/later"))["passages"] == 1


async def test_a_job_reports_what_failed_and_keeps_the_rest(
    client: TestClient[Any, Any], ask: Ask, docs: str
) -> None:
    files = form(("a.txt", b"Kept.", "text/plain"), ("b.pdf", b"%PDF-1.7", "application/pdf"))
    response = await client.post(PATH, data=files)
    assert response.status == 202
    job = await finished(ask, (await response.json())["job"]["id"])
    assert (job["done"], job["failed"]) == (2, 1)
    assert [one["status"] for one in job["documents"]] == ["ready", "failed"]


async def test_a_job_settles_an_id_that_comes_twice(ask: Ask, docs: str) -> None:
    twice = [{"id": "t", "text": "first"}, {"id": "t", "text": "second"}]
    accepted = await ask("POST", PATH, {"documents": twice}, status=202)
    assert (await finished(ask, accepted["job"]["id"]))["done"] == 2


@pytest.mark.parametrize("job_id", ["docs.none", "missing.123", "x"])
async def test_an_unknown_job_is_a_404(ask: Ask, docs: str, job_id: str) -> None:
    assert (await ask("GET", f"/v1/jobs/{job_id}", status=404))["error"]["code"] == "job_not_found"


@pytest.mark.parametrize(
    ("documents", "blamed"),
    [
        ([], "documents"),
        ([{"text": ""}], "documents.0.text"),
        ([{"text": "fine"}, {"text": " \n"}], "documents.1.text"),
        ([{"id": "a"}], "documents.0"),
        ([{"id": "a", "text": "x", "data": "eA=="}], "documents.0"),
        ([{"id": "a", "data": "eA=="}], "documents.0.format"),
        ([{"id": "a", "data": "%%", "format": "html"}], None),
        ([{"id": "", "text": "x"}], None),
        ([{"id": "a", "text": "x", "metadata": []}], None),
        ([{"id": "a", "text": 5}], None),
        ([{"id": "a", "text": "x", "oops": 1}], None),
        ([{"id": "a" * 513, "text": "x"}], None),
        ([{"id": "a\u0000", "text": "x"}], None),
    ],
)
async def test_a_bad_document_refuses_the_request_and_changes_nothing(
    ask: Ask, docs: str, documents: object, blamed: str | None
) -> None:
    before = await ask("GET", PATH)
    for path in (WAIT, PATH):
        error = (await ask("POST", path, {"documents": documents}, status=422))["error"]
        if blamed is not None:
            assert error["param"] == blamed
    assert await ask("GET", PATH) == before


async def test_a_document_whose_passage_would_take_the_id_of_a_point_fails_alone(ask: Ask, docs: str) -> None:
    point = {"id": "taken#0", "vector": [1.0] * 64}
    await ask("POST", "/v1/collections/docs/points", {"points": [point]})
    documents = [{"id": "taken", "text": "no room"}, {"id": "free", "text": "fine"}]
    outcomes = (await ask("POST", WAIT, {"documents": documents}))["documents"]
    assert [outcome["status"] for outcome in outcomes] == ["failed", "ready"]
    assert "taken#0" in outcomes[0]["error"]


async def test_documents_need_a_collection_with_a_model(ask: Ask) -> None:
    await ask("PUT", "/v1/collections/mine", {"dim": 3}, status=201)
    for path in ("/v1/collections/mine/documents?wait=true", "/v1/collections/mine/documents"):
        error = (await ask("POST", path, {"documents": [{"text": "x"}]}, status=422))["error"]
        assert "points" in error["message"]


@pytest.mark.parametrize(
    "data",
    [
        form(metadata="{}"),
        form(("a.txt", b"x", "text/plain"), metadata="["),
        form(("a.txt", b"x", "text/plain"), metadata="[]"),
        form(("a.txt", b"x", "text/plain"), surprise="1"),
        *(
            form(("a.txt", b"x", "text/plain"), **{name: value})
            for name, values in {
                "version": ["", "-1", "1.5", '"1"', "one", "null"],
                "expires_at": [
                    "",
                    "tomorrow",
                    "2030-01-01",
                    "2030-01-01T00:00:00",
                    "9999-12-31T23:59:59-01:00",
                ],
                "acl": [
                    "",
                    "me",
                    '"me"',
                    "[1]",
                    '[""]',
                    "{}",
                    json.dumps(["x"] * 257),
                    json.dumps(["x" * 257]),
                ],
            }.items()
            for value in values
        ),
    ],
)
async def test_a_bad_form_is_a_422_and_changes_nothing(
    client: TestClient[Any, Any], ask: Ask, docs: str, data: aiohttp.FormData
) -> None:
    response = await client.post(WAIT, data=data)
    assert response.status == 422
    assert (await response.json())["error"]["param"] in {
        "file",
        "metadata",
        "surprise",
        "version",
        "expires_at",
        "acl",
    }
    assert len((await ask("GET", PATH))["documents"]) == 3


async def test_a_torn_form_is_a_400(client: TestClient[Any, Any], docs: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(WAIT, data=b"--b\r\nContent-Disposition: form-data", headers=headers)
    assert response.status == 400


async def finished(ask: Ask, job_id: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            job = await ask("GET", f"/v1/jobs/{job_id}")
            if job["status"] == "finished":
                return job
            await asyncio.sleep(0.01)


async def test_metadata_that_msgpack_alone_could_bring_is_a_422(
    client: TestClient[Any, Any], docs: str
) -> None:
    document = {"id": "x", "text": "words", "metadata": {"tags": {None: 1}}}
    body = msgspec.msgpack.encode({"documents": [document]})
    response = await client.post(WAIT, data=body, headers={"Content-Type": "application/msgpack"})
    assert response.status == 422
    assert (await response.json())["error"]["param"] == "documents.0.metadata"


@pytest.mark.parametrize("path", [PATH, WAIT])
@pytest.mark.parametrize(
    "header",
    [
        b'Content-Disposition: form-data; name="f\xff"',
        b'Content-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: x/\xff',
    ],
    ids=["name", "type"],
)
async def test_headers_of_a_part_that_are_no_text_are_a_400(
    client: TestClient[Any, Any], docs: str, path: str, header: bytes
) -> None:
    body = b"--b\r\n" + header + b"\r\n\r\nwords\r\n--b--\r\n"
    response = await client.post(path, data=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "malformed_body"


@pytest.mark.parametrize(
    ("sent", "id", "code"),
    [
        ("a%22b%20c%.txt", 'a"b%20c%.txt', None),
        ("a%0Ab.txt", None, "invalid_id"),
        ("a%0D%0Ab.txt", None, "invalid_id"),
    ],
)
async def test_a_name_is_read_as_forms_write_it_and_one_with_a_newline_is_no_id(
    client: TestClient[Any, Any], docs: str, sent: str, id: str | None, code: str | None
) -> None:
    body = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{sent}"\r\n\r\nwords\r\n--b--\r\n'
    response = await client.post(WAIT, data=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    answer = await response.json()
    if id is None:
        assert (response.status, answer["error"]["code"]) == (422, code)
    else:
        assert [document["id"] for document in answer["documents"]] == [id]


async def test_a_text_that_the_model_refuses_fails_alone(
    ask: Ask, docs: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = Embedder.embed

    async def refuse_one(self: Embedder, texts: Sequence[str], **more: Any) -> Embeddings:
        if any("unbearable" in text for text in texts):
            raise InvalidInput("input 0 has no finite embedding")
        return await embed(self, texts, **more)

    monkeypatch.setattr(Embedder, "embed", refuse_one)
    documents = [{"id": "good", "text": "bearable"}, {"id": "bad", "text": "unbearable"}]
    outcomes = (await ask("POST", WAIT, {"documents": documents}))["documents"]
    assert [outcome["status"] for outcome in outcomes] == ["ready", "failed"]
    assert "no finite embedding" in outcomes[1]["error"]


async def test_passages_leave_room_for_the_prompt_of_their_model(
    ask: Ask, docs: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = services.models.embedder()
    prompts = {"document": "this is a passage of a document with some more words : "}
    monkeypatch.setattr(embedder, "card", replace(embedder.card, prompts=prompts))
    cut: list[Truncated] = []
    embed = Embedder.embed

    async def note_cuts(self: Embedder, texts: Sequence[str], **more: Any) -> Embeddings:
        embedded = await embed(self, texts, **more)
        cut.extend(embedded.truncated)
        return embedded

    monkeypatch.setattr(Embedder, "embed", note_cuts)
    document = {"id": "long", "text": "One two three four five six seven. " * 300}
    assert (await ask("POST", WAIT, {"documents": [document]}))["documents"][0]["passages"] > 1
    assert cut == []


def test_a_window_of_documents_ends_when_it_is_large_enough() -> None:
    small = [Incoming(id=str(number), text="x") for number in range(WINDOW_DOCUMENTS + 1)]
    assert [len(window) for window in windows(small)] == [WINDOW_DOCUMENTS, 1]
    large = [Incoming(id=str(number), data=bytes(WINDOW_BYTES)) for number in range(2)]
    assert [len(window) for window in windows([*large, *small])] == [1, 1, WINDOW_DOCUMENTS, 1]


async def test_a_full_disk_is_a_507_and_leaves_nothing_in_the_spool(
    client: TestClient[Any, Any], docs: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if getattr(function, "__name__", "") == "_write_all":
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*args, **kwargs)

    monkeypatch.setattr("api.http.uploads.asyncio.to_thread", refuse)
    response = await client.post(WAIT, data=form(("a.txt", b"words", "text/plain")))
    assert response.status == 507
    assert list((services.settings.data / "spool").iterdir()) == []


def test_what_is_written_in_part_is_written_on(tmp_path: Path) -> None:
    class Short(io.FileIO):
        def write(self, chunk: Any) -> int:
            return super().write(chunk[:3])

    with Short(tmp_path / "file", "w") as file:
        uploads._write_all(file, b"not cut short")
    assert (tmp_path / "file").read_bytes() == b"not cut short"
