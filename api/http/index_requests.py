"""What is to be written, searched for and deleted in a collection, over HTTP and gRPC."""

import uuid
from typing import Any

from api.errors import InvalidRequest
from api.http import wire
from api.schemas import DocumentRequest, PointRequest
from api.schemas_search import FusionRequest, SearchRequest
from api.security.identity import Identity
from api.services.file_types import MEDIA_TYPES
from api.services.incoming import Incoming
from api.services.retrieve import Search
from index.filters import Filter, parse_filter
from index.rows import Document, Fusion, Once, Passage
from index.store import Store


def read_document(number: int, document: DocumentRequest) -> Incoming:
    """Document ``number`` of a request; raises what contradicts itself or cannot be kept."""
    where = f"documents.{number}"
    if (document.text is None) == (document.data is None):
        raise InvalidRequest(f"{where}: send either `text` or `data`", param=where)
    if document.text is not None and not document.text.strip():
        raise InvalidRequest(f"{where}: `text` is empty", param=f"{where}.text")
    if document.data is not None and document.format is None:
        raise InvalidRequest(f"{where}: `data` needs its `format`", param=f"{where}.format")
    wire.check_metadata(document.metadata, f"{where}.metadata")
    return Incoming(
        id=document.id or uuid.uuid4().hex,
        text=document.text,
        data=document.data,
        media_type=MEDIA_TYPES[document.format or "text"],
        title=document.title,
        metadata=document.metadata,
        password=document.password,
        expires_at=wire.moment_of(document.expires_at, f"{where}.expires_at"),
        acl=tuple(document.acl),
        if_version=document.version,
    )


def read_point(number: int, point: PointRequest) -> Document:
    """The document that is point ``number`` of a request; raises what cannot be kept of it."""
    text = point.text
    wire.check_metadata(point.metadata, f"points.{number}.metadata")
    passage = Passage(
        text=text,
        start=0,
        end=len(text or ""),
        vector=wire.vector_of(point.vector, f"points.{number}.vector"),
    )
    return Document(
        id=point.id,
        title=point.title or "",
        text=text,
        metadata=point.metadata,
        passages=(passage,),
        is_point=True,
        expires_at=wire.moment_of(point.expires_at, f"points.{number}.expires_at"),
        acl=tuple(point.acl),
        if_version=point.version,
    )


def read_search(request: SearchRequest, identity: Identity) -> Search:
    """What ``identity`` looks for by ``request``; raises what is wrong with its vector or filter."""
    fusion = request.fusion or FusionRequest()
    return Search(
        k=request.k,
        mode=request.mode,
        text=request.query,
        vector=None if request.vector is None else wire.vector_of(request.vector, "vector"),
        filter=filter_of(request.filter),
        acl=identity.tags(request.acl),
        min_score=request.min_score,
        exact=request.exact,
        with_content=not {"text", "metadata"}.isdisjoint(request.include),
        with_vectors="vector" in request.include,
        rerank=request.rerank,
        fusion=Fusion(fusion.method, fusion.dense_weight),
        group_by=request.group_by,
        diversity=None if request.mmr is None else request.mmr.diversity,
    )


def filter_of(given: dict[str, Any] | None) -> Filter | None:
    """The filter of a request, if it has one; raises what is wrong with it."""
    return None if given is None else parse_filter(given)


async def delete_selected(
    store: Store, ids: list[str] | None, condition: dict[str, Any] | None, once: Once | None
) -> int:
    """Delete by ids or by filter: exactly one of them, so that nothing is deleted by accident."""
    if (ids is None) == (condition is None):
        raise InvalidRequest("send either `ids` or `filter`", param="ids")
    if condition is not None:
        return await store.delete_matching(parse_filter(condition), once)
    return await store.delete(ids or [], once=once)
