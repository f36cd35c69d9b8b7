"""embedd.v1.Index: the documents and points of collections."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from api.errors import InvalidRequest
from api.grpc.calls import Call
from api.grpc.ingestion import Ingestion
from api.grpc.reading import fields_of, read
from api.grpc.streams import gathered
from api.grpc.v1 import index_pb2 as pb
from api.grpc.writing import describe_hit, describe_outcome, describe_point, describe_stored
from api.http import wire
from api.http.index_requests import delete_selected, read_document, read_point, read_search
from api.schemas import DocumentRequest, PointRequest, PointsDelete, PointsGet
from api.schemas_search import SearchRequest
from api.services.limits import refuse_more
from api.services.retrieve import Retriever
from index.store import Store

_REQUESTS_WAITING = 8
"""Of one stream of documents, while those before them are worked on."""


async def upsert(request: pb.UpsertRequest, call: Call) -> pb.UpsertResponse:
    """Write documents or points, and answer when they are on disk."""
    store = await call.services.catalog.get(request.collection)
    if bool(request.documents) == bool(request.points):
        raise InvalidRequest("send either `documents` or `points`", param="documents")
    if request.points:
        return pb.UpsertResponse(points=await _write_points(request.points, store, call))
    limit = call.services.settings.max_documents_per_request
    refuse_more(len(request.documents), limit, "documents")
    documents = [
        read_document(number, read(one, DocumentRequest)) for number, one in enumerate(request.documents)
    ]
    ingestor = call.services.ingestor
    ingestor.check(store, documents)
    await ingestor.check_versions(store, documents)
    outcomes = await ingestor.ingest(store, documents)
    return pb.UpsertResponse(documents=map(describe_outcome, outcomes))


async def search(request: pb.SearchRequest, call: Call) -> pb.SearchResponse:
    """Search by words, by vector, or both."""
    began = time.perf_counter()
    store = await call.services.catalog.get(request.collection)
    fields = fields_of(request)
    fields.pop("collection", None)
    if "viewer" in fields:
        fields["acl"] = fields.pop("viewer")
    wanted = wire.checked(fields, SearchRequest)
    found = await Retriever(call.models).retrieve(store, read_search(wanted, call.identity))
    return pb.SearchResponse(
        hits=[describe_hit(hit, wanted.include) for hit in found.hits],
        took_ms=round((time.perf_counter() - began) * 1000, 3),
        plan=found.plan,
    )


async def get(request: pb.GetRequest, call: Call) -> pb.GetResponse:
    """Documents and points by id, in the order asked, the missing left out."""
    store = await call.services.catalog.get(request.collection)
    if not (request.document_ids or request.point_ids):
        raise InvalidRequest("send `document_ids`, `point_ids`, or both", param="document_ids")
    refuse_more(len(request.document_ids), call.services.settings.max_documents_per_request, "document_ids")
    include = wire.checked({"ids": ["any"], **_included(request)}, PointsGet).include
    answer = pb.GetResponse()
    for id in request.document_ids:
        document = await store.document(id, with_text="text" in include)
        if document is not None:
            answer.documents.append(describe_stored(document))
    if request.point_ids:
        ids = wire.checked({"ids": list(request.point_ids)}, PointsGet).ids
        points = await store.points(ids, with_vectors="vector" in include)
        answer.points.extend(describe_point(point, include) for point in points)
    return answer


async def delete(request: pb.DeleteRequest, call: Call) -> pb.DeleteResponse:
    """Delete documents and points by ids or filter."""
    store = await call.services.catalog.get(request.collection)
    fields = fields_of(request)
    fields.pop("collection", None)
    wanted = wire.checked(fields, PointsDelete)
    return pb.DeleteResponse(deleted=await delete_selected(store, wanted.ids, wanted.filter, None))


async def ingest(
    requests: AsyncIterator[pb.IngestRequest], call: Call
) -> AsyncGenerator[pb.IngestResponse, None]:
    """Write a stream of documents; what comes while others are worked on is written together."""
    ingestion = Ingestion(call.services)
    async for some in gathered(requests, _REQUESTS_WAITING):
        yield await ingestion.write(some)


async def _write_points(points: Sequence[pb.Point], store: Store, call: Call) -> int:
    refuse_more(len(points), call.services.settings.max_points_per_request, "points")
    await store.upsert(
        [read_point(number, read(one, PointRequest, vector=one.vector)) for number, one in enumerate(points)]
    )
    return len(points)


def _included(request: pb.GetRequest) -> dict[str, object]:
    fields = fields_of(request)
    return {"include": fields["include"]} if "include" in fields else {}
