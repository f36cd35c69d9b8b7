"""embedd.v1.Index with the generated stubs."""

from collections.abc import AsyncIterator, Iterable

import numpy as np
import pytest
from asking import Ask
from google.rpc.error_details_pb2 import BadRequest
from grpc import StatusCode
from grpc_calls import Caller, refused

from api.grpc.v1.index_pb2 import (
    DeleteRequest,
    Document,
    GetRequest,
    IngestRequest,
    IngestResponse,
    Point,
    SearchRequest,
    Status,
    UpsertRequest,
    Viewer,
)

NOTES = "notes"


@pytest.fixture
async def notes(ask: Ask) -> str:
    await ask("PUT", f"/v1/collections/{NOTES}", {}, status=201)
    return NOTES


def document(id: str, text: str, **metadata: object) -> Document:
    made = Document(id=id, text=text)
    made.metadata.update(metadata)
    return made


def vector(*numbers: float) -> bytes:
    return np.array(numbers, dtype="<f4").tobytes()


async def test_documents_are_written_found_read_and_deleted(caller: Caller, notes: str) -> None:
    moon = document("moon", "The moon pulls the sea.", year=2020, tags=["a"], nested={"deep": None})
    written = await caller.index.Upsert(UpsertRequest(collection=notes, documents=[moon]))
    assert [(one.id, one.status) for one in written.documents] == [("moon", Status.STATUS_READY)]
    found = await caller.index.Search(SearchRequest(collection=notes, query="moon", k=1))
    assert [(one.document_id, one.text) for one in found.hits] == [("moon", "The moon pulls the sea.")]
    assert found.hits[0].metadata == moon.metadata
    read = await caller.index.Get(
        GetRequest(collection=notes, document_ids=["moon", "gone"], point_ids=["moon#0"])
    )
    assert [one.text for one in (*read.documents, *read.points)] == [moon.text] * 2
    assert (await caller.index.Delete(DeleteRequest(collection=notes, ids=["moon", "gone"]))).deleted == 1
    assert not (await caller.index.Search(SearchRequest(collection=notes, query="moon"))).hits


async def test_whole_numbers_of_metadata_stay_whole(caller: Caller, notes: str, ask: Ask) -> None:
    await caller.index.Upsert(
        UpsertRequest(collection=notes, documents=[document("d", "x", year=2020, part=0.5)])
    )
    kept = await ask("GET", f"/v1/collections/{notes}/documents/d")
    assert repr(kept["metadata"]["year"]) == "2020"
    assert kept["metadata"]["part"] == 0.5


async def test_filters_and_viewers_mean_what_they_mean_over_http(caller: Caller, notes: str) -> None:
    secret = document("secret", "The moon is made of cheese.", year=2021)
    secret.acl.append("board")
    await caller.index.Upsert(
        UpsertRequest(collection=notes, documents=[document("old", "The moon.", year=2019), secret])
    )
    request = SearchRequest(collection=notes, query="moon")
    request.filter.update({"year": {"$gte": 2020}})
    assert [one.document_id for one in (await caller.index.Search(request)).hits] == ["secret"]
    request.viewer.CopyFrom(Viewer())
    assert not (await caller.index.Search(request)).hits
    request.viewer.tags.append("board")
    assert len((await caller.index.Search(request)).hits) == 1


async def test_points_bring_their_own_vectors(caller: Caller, ask: Ask) -> None:
    await ask("PUT", "/v1/collections/own", {"dim": 2}, status=201)
    points = [Point(id="east", vector=vector(1, 0)), Point(id="north", vector=vector(0, 1), text="N")]
    assert (await caller.index.Upsert(UpsertRequest(collection="own", points=points))).points == 2
    request = SearchRequest(collection="own", vector=vector(0.1, 1), k=1, include=["INCLUDE_VECTOR"])
    (hit,) = (await caller.index.Search(request)).hits
    assert (hit.id, hit.vector, hit.text) == ("north", vector(0, 1), "")
    wrong = UpsertRequest(collection="own", points=[Point(id="bad", vector=b"123")])
    refusal = await refused(caller.index.Upsert(wrong))
    assert refusal.details[BadRequest].field_violations[0].field == "points.0.vector"


async def test_what_cannot_be_done_says_so(caller: Caller, notes: str) -> None:
    both = UpsertRequest(collection=notes, documents=[Document(text="x")], points=[Point(id="x")])
    nan = SearchRequest(collection=notes, query="x", min_score=float("nan"))
    odd = SearchRequest(collection=notes, query="x")
    odd.filter.update({"year": {"$near": 1}})
    late = UpsertRequest(collection=notes, documents=[Document(text="x")])
    late.documents[0].expires_at.seconds = 2**60
    wrong = {
        "documents": caller.index.Upsert(both),
        "min_score": caller.index.Search(nan),
        "filter": caller.index.Search(odd),
        "k": caller.index.Search(SearchRequest(collection=notes, query="x", k=0)),
        "document_ids": caller.index.Get(GetRequest(collection=notes)),
        "ids": caller.index.Delete(DeleteRequest(collection=notes)),
        "expires_at": caller.index.Upsert(late),
    }
    for field, call in wrong.items():
        refusal = await refused(call)
        assert refusal.code is StatusCode.INVALID_ARGUMENT, field
        assert refusal.details[BadRequest].field_violations[0].field == field
    gone = await refused(caller.index.Search(SearchRequest(collection="gone", query="x")))
    assert (gone.code, gone.reason) == (StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND")


async def test_a_write_for_another_version_is_aborted(caller: Caller, notes: str) -> None:
    request = UpsertRequest(collection=notes, documents=[Document(id="d", text="x", version=3)])
    refusal = await refused(caller.index.Upsert(request))
    assert (refusal.code, refusal.reason) == (StatusCode.ABORTED, "VERSION_CONFLICT")


async def sent(*requests: Iterable[Document], collection: str = NOTES) -> AsyncIterator[IngestRequest]:
    for number, documents in enumerate(requests):
        yield IngestRequest(collection="" if number else collection, documents=documents)


async def test_a_stream_of_documents_tells_what_became_of_each(caller: Caller, notes: str) -> None:
    requests = [[Document(id=f"d{n}", text=f"Tide {n}."), Document(id=f"empty{n}")] for n in range(10)]
    answers: list[IngestResponse] = [answer async for answer in caller.index.Ingest(sent(*requests))]
    outcomes = [one for answer in answers for one in answer.outcomes]
    assert [one.id for one in outcomes] == [one.id for request in requests for one in request]
    assert {one.status for one in outcomes[::2]} == {Status.STATUS_READY}
    assert {(one.status, one.reason) for one in outcomes[1::2]} == {(Status.STATUS_FAILED, "INVALID_VALUE")}
    end = answers[-1].progress
    assert (end.received, end.done, end.failed, end.passages) == (20, 20, 10, 10)


async def test_of_a_document_that_comes_twice_in_a_stream_the_last_stays(caller: Caller, notes: str) -> None:
    requests = [[Document(id="same", text=f"Version {n}.")] for n in range(12)]
    assert [answer async for answer in caller.index.Ingest(sent(*requests))]
    read = await caller.index.Get(GetRequest(collection=notes, document_ids=["same"]))
    assert read.documents[0].text == "Version 11."


async def test_a_stream_stays_with_its_collection(caller: Caller, notes: str) -> None:
    async def first_call(requests: AsyncIterator[IngestRequest]) -> None:
        async for _ in caller.index.Ingest(requests):
            pass

    assert (await refused(first_call(sent([], collection="")))).code is StatusCode.INVALID_ARGUMENT
    assert (await refused(first_call(sent([], collection="gone")))).code is StatusCode.NOT_FOUND

    async def elsewhere() -> AsyncIterator[IngestRequest]:
        yield IngestRequest(collection=notes)
        yield IngestRequest(collection="other")

    assert "open another one" in (await refused(first_call(elsewhere()))).message
