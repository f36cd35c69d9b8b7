"""Documents: write, read, list, delete; JSON or multipart, at once or as a job."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

from aiohttp import hdrs
from msgspec import UNSET

from api.errors import ROWS, Conflict, NotFound, PreconditionFailed
from api.http import wire
from api.http.handlers.jobs import describe_accepted_job, outcome_answer
from api.http.idempotency import once_of, once_of_files
from api.http.index_requests import delete_selected, read_document
from api.http.preconditions import entity_tag, versions_wanted
from api.http.routing import Call, Reply
from api.http.uploads import receive_files
from api.schemas import (
    Deleted,
    DocumentAnswer,
    DocumentOutcomes,
    DocumentPage,
    DocumentPageQuery,
    DocumentQuery,
    DocumentsDelete,
    DocumentsRequest,
    IngestQuery,
    NoQuery,
)
from api.schemas_documents import DocumentChange
from api.schemas_jobs import JobAccepted
from api.services.incoming import Incoming, Outcome
from api.services.limits import refuse_more
from index.errors import VersionConflict
from index.rows import DocumentPatch, Kept, Once, StoredDocument
from index.store import Store


async def post(call: Call[DocumentsRequest | None, IngestQuery]) -> Reply:
    """Write documents; 202 and a job unless ?wait=true, and nothing at all with ?dry_run=true."""
    store = await call.services.catalog.get(call.path["name"])
    if call.body is None:
        async with receive_files(call.request, call.services.settings) as documents:
            return await _ingest(call, store, documents, await once_of_files(call.request, documents))
    limit = call.services.settings.max_documents_per_request
    refuse_more(len(call.body.documents), limit, "documents")
    documents = [read_document(number, document) for number, document in enumerate(call.body.documents)]
    return await _ingest(call, store, documents, await once_of(call.request))


async def get(call: Call[None, DocumentQuery]) -> Reply:
    """One document; ?include=text brings its text."""
    store = await call.services.catalog.get(call.path["name"])
    with_text = call.query.include == "text"
    document = await store.document(call.path["id"], with_text=with_text)
    if document is None:
        raise _not_found(store, call.path["id"])
    return _reply(document, with_text=with_text)


async def list_page(call: Call[None, DocumentPageQuery]) -> DocumentPage:
    """Documents by id, page by page."""
    store = await call.services.catalog.get(call.path["name"])
    page = await store.documents(call.query.limit, call.query.after)
    full = len(page) == call.query.limit
    return DocumentPage(
        documents=[_describe(document, with_text=False) for document in page],
        next=page[-1].id if full else None,
    )


async def patch(call: Call[DocumentChange, NoQuery]) -> Reply:
    """Change metadata, title or expiry in place; If-Match names the version that it must have."""
    store = await call.services.catalog.get(call.path["name"])
    once = await once_of(call.request)
    with _precondition():
        versions = versions_wanted(call.request)
        document = await store.patch(call.path["id"], _change(call.body), versions, once)
    if document is None:
        raise _not_found(store, call.path["id"])
    return _reply(document)


async def delete(call: Call[None, NoQuery]) -> Deleted:
    """Delete one document; If-Match names the version that it must have."""
    store = await call.services.catalog.get(call.path["name"])
    once = await once_of(call.request)
    with _precondition():
        versions = versions_wanted(call.request)
        return Deleted(deleted=await store.delete([call.path["id"]], versions, once))


async def delete_many(call: Call[DocumentsDelete, NoQuery]) -> Deleted:
    """Delete documents by ids or filter."""
    store = await call.services.catalog.get(call.path["name"])
    once = await once_of(call.request)
    return Deleted(deleted=await delete_selected(store, call.body.ids, call.body.filter, once))


async def _ingest(
    call: Call[DocumentsRequest | None, IngestQuery],
    store: Store,
    documents: list[Incoming],
    once: Once | None,
) -> Reply:
    if call.query.dry_run:
        await _check(call, store, documents)
        return _outcomes(await call.services.ingestor.compare(store, documents))
    if call.query.wait and once is None:
        await _check(call, store, documents)
        return _outcomes(await call.services.ingestor.ingest(store, documents))
    job_id = await _job(call, store, documents, once)
    if not call.query.wait:
        return Reply(JobAccepted(job=await describe_accepted_job(store, job_id)), HTTPStatus.ACCEPTED)
    # A job remembers what became of each document, so after a crash the answer is the same.
    await call.services.jobs.finished(store, job_id)
    await _refuse_cancelled(store, job_id)
    return _outcomes([Outcome(**result) for result in await store.job_results(job_id) if result])


async def _refuse_cancelled(store: Store, job_id: str) -> None:
    job = await store.job(job_id)
    if job is not None and job.cancelled:
        raise Conflict(
            f"the job {job_id!r} that carried out this request was cancelled", code="job_cancelled"
        )


async def _job(
    call: Call[DocumentsRequest | None, IngestQuery],
    store: Store,
    documents: list[Incoming],
    once: Once | None,
) -> str:
    """The job of this request: a new one, unless it came before."""
    if (kept := await _kept(store, once)) is not None:
        return kept
    try:
        await _check(call, store, documents)
    except VersionConflict:
        # Perhaps it was this very request that was carried out meanwhile.
        if (kept := await _kept(store, once)) is not None:
            return kept
        raise
    return await call.services.jobs.submit(store, documents, once)


async def _kept(store: Store, once: Once | None) -> str | None:
    """The job that this request was kept as when it came before."""
    job_id: str | None = None if once is None else await store.remembered(once)
    return job_id


async def _check(
    call: Call[DocumentsRequest | None, IngestQuery], store: Store, documents: list[Incoming]
) -> None:
    call.services.ingestor.check(store, documents)
    await call.services.ingestor.check_versions(store, documents)


def _outcomes(outcomes: Sequence[Outcome]) -> Reply:
    """A document that was alone in its request and lost a race for its version is a conflict."""
    if len(outcomes) == 1 and outcomes[0].code == ROWS[VersionConflict].code:
        raise Conflict(outcomes[0].error or "")
    return Reply(DocumentOutcomes(documents=[outcome_answer(outcome) for outcome in outcomes]))


@contextmanager
def _precondition() -> Iterator[None]:
    """A conflict with If-Match has a status of its own."""
    try:
        yield
    except VersionConflict as conflict:
        raise PreconditionFailed(str(conflict)) from conflict


def _change(change: DocumentChange) -> DocumentPatch:
    metadata = None if change.metadata is UNSET else change.metadata
    wire.check_metadata(metadata or {}, "metadata")
    return DocumentPatch(
        metadata=metadata,
        title=None if change.title is UNSET else change.title,
        expires_at=Kept.KEPT
        if change.expires_at is UNSET
        else wire.moment_of(change.expires_at, "expires_at"),
    )


def _not_found(store: Store, document_id: str) -> NotFound:
    return NotFound(f"collection {store.settings.name!r} has no document {document_id!r}")


def _reply(document: StoredDocument, *, with_text: bool = False) -> Reply:
    return Reply(_describe(document, with_text=with_text), headers={hdrs.ETAG: entity_tag(document.version)})


def _describe(document: StoredDocument, *, with_text: bool) -> DocumentAnswer:
    return DocumentAnswer(
        id=document.id,
        title=document.title,
        metadata=dict(document.metadata),
        version=document.version,
        passages=document.passages,
        tokens=document.tokens,
        characters=document.characters,
        media_type=document.media_type,
        created_at=document.created_at,
        updated_at=document.updated_at,
        expires_at=document.expires_at or UNSET,
        acl=list(document.acl) or UNSET,
        text=(document.text or "") if with_text else UNSET,
    )
