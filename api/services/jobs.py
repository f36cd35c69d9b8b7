"""Ingestion that goes on after its request was answered, and after a crash.

A job is rows in its collection's own database: each item is a document that waits, and its receipt commits
in the same transaction as the document. So a job that was accepted survives kill -9, and resumes without
doing anything twice. A job's id names its collection: ``<collection>.<hex>``.

Invariants: the jobs of one collection run one after the other, in the order they came, so the document that
was sent last is the one that stays; collections take turns, so one whose model is away holds up no other;
a document that cannot be ingested is settled as failed and stops nothing else.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from api.errors import RequestError
from api.services.incoming import Incoming, Outcome
from api.services.ingest import Ingestor
from api.services.reembed import Reembedder, is_reembedding
from embedd.errors import EmbeddError
from embedd.ownership import beside, to_its_end
from index import files
from index.catalog import Catalog
from index.errors import CollectionNotFound, StoreError
from index.rows import JobItem, Once, Receipt
from index.store import Store

log = structlog.get_logger()

ITEMS_AT_ONCE = 128
COLLECTIONS_AT_ONCE = 2
RETRY_S = 2.0

_FAILED = "the service failed to ingest this document; its log has the reason under the job's id"


class JobRunner:
    """Works off the jobs of every collection, a few collections at a time."""

    def __init__(self, catalog: Catalog, ingestor: Ingestor, reembedder: Reembedder) -> None:
        self._catalog = catalog
        self._ingestor = ingestor
        self._reembedder = reembedder
        self._jobs: dict[str, deque[str]] = {}  # per collection, oldest first; ids alone, the rest is on disk
        self._turns: asyncio.Queue[str] = asyncio.Queue()  # each collection that has jobs, at most once
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}  # for the end of a job

    async def submit(self, store: Store, documents: Sequence[Incoming], once: Once | None = None) -> str:
        """Keep ``documents`` as a job and answer its id; after this a crash does not lose them.

        If they were kept ``once`` before, it is that job's id. A caller that leaves meanwhile leaves a job
        that runs or none, never one that waits for a restart.
        """
        job_id = f"{store.settings.name}.{uuid.uuid4().hex}"
        return await to_its_end(self._keep(store, job_id, documents, once))

    async def _keep(self, store: Store, job_id: str, documents: Sequence[Incoming], once: Once | None) -> str:
        kept_id = None
        try:
            kept = await asyncio.to_thread(_keep_uploads, store.uploads, job_id, documents)
            items = [msgspec.msgpack.encode(_item(document)) for document in kept]
            kept_id = await store.add_job(job_id, items, once)
        finally:
            if kept_id != job_id:
                await asyncio.to_thread(_drop_uploads_of, store.uploads, job_id)
        if kept_id == job_id:
            self._enqueue(job_id)
        return kept_id

    async def reembed(self, source: Store, model: str, into: str, switch: Sequence[str]) -> str:
        """Have ``source`` embedded again and answer the job's id; see ``Reembedder.start``."""
        return await to_its_end(self._reembedder.start(source, model, into, switch, self._enqueue))

    async def finished(self, store: Store, job_id: str) -> None:
        """Until every document of the job is settled.

        Raises:
            EmbeddError, RequestError, StoreError: why it cannot go on now; it is tried again.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(job_id, [])
        waiting.append(waiter)
        try:
            job = await store.job(job_id)
            if job is None or job.finished_at is None:
                await waiter
        finally:
            waiting.remove(waiter)
            if not waiting:
                self._waiting.pop(job_id, None)

    async def resume(self) -> None:
        """Queue what a former process left unfinished, and drop uploads that no job waits for."""
        for name in self._catalog.names():
            store = self._catalog.get(name)
            jobs = await store.unfinished_jobs()
            for job_id in jobs:
                log.info("job_resumed", job=job_id)
                self._enqueue(job_id)
            await asyncio.to_thread(_drop_uploads, store.uploads, keep=set(jobs))

    async def work(self) -> None:
        """Run jobs until cancelled; what is cut short stays pending."""
        async with asyncio.TaskGroup() as group:
            for _ in range(COLLECTIONS_AT_ONCE):
                group.create_task(self._take_turns())

    def _enqueue(self, job_id: str) -> None:
        name = collection_of(job_id)
        if name not in self._jobs:
            self._jobs[name] = deque()
            self._turns.put_nowait(name)
        self._jobs[name].append(job_id)

    async def _take_turns(self) -> None:
        while True:
            name = await self._turns.get()
            job_id = self._jobs[name][0]
            try:
                pause_s = await self._turn(job_id)
                if pause_s is None:
                    self._tell(job_id, None)
            except CollectionNotFound as error:
                log.info("job_dropped", job=job_id)  # with its collection
                pause_s = None
                self._tell(job_id, error)
            except (EmbeddError, RequestError, StoreError) as error:
                log.warning("job_waits", job=job_id, reason=str(error))
                pause_s = RETRY_S
                self._tell(job_id, error)
            self._end_turn(name, pause_s)

    def _tell(self, job_id: str, error: Exception | None) -> None:
        """Those who wait for the job hear that it is finished, or why it is not."""
        for waiter in self._waiting.get(job_id, ()):
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def _end_turn(self, name: str, pause_s: float | None) -> None:
        """The collection goes to the end of the queue, as long as it has jobs."""
        if pause_s is None:
            self._jobs[name].popleft()
        if self._jobs[name]:
            asyncio.get_running_loop().call_later(pause_s or 0.0, self._turns.put_nowait, name)
        else:
            del self._jobs[name]

    async def _turn(self, job_id: str) -> float | None:
        """Do the next part of a job; seconds until its next turn, None if it is finished."""
        store = self._catalog.get(collection_of(job_id))
        if is_reembedding(job_id):
            return await self._reembedder.turn(store, job_id)
        items = await store.pending_items(job_id, ITEMS_AT_ONCE)
        if items:
            await self._ingest(store, job_id, items)
            return 0.0
        await asyncio.to_thread(_drop_uploads_of, store.uploads, job_id)
        log.info("job_finished", job=job_id)
        return None

    async def _ingest(self, store: Store, job_id: str, items: Sequence[JobItem]) -> None:
        try:
            await self._ingestor.ingest(store, [_document(store, item, job_id) for item in items])
        except (EmbeddError, RequestError, StoreError):
            raise
        except Exception:
            # A bug that one of these documents has found: whichever it is, the others are not to blame.
            if len(items) > 1:
                for item in items:
                    await self._ingest(store, job_id, [item])
                return
            log.exception("job_item_failed", job=job_id, position=items[0].position)
            await store.settle([_failure(job_id, items[0])])


def collection_of(job_id: str) -> str:
    """The collection that a job belongs to; names of collections have no dots."""
    return job_id.rpartition(".")[0]


class _Item(msgspec.Struct):
    """A waiting document as it lies in the database; ``upload`` is a name in the collection's uploads."""

    id: str
    text: str | None
    data: bytes | None
    upload: str | None
    media_type: str | None
    filename: str | None
    title: str | None
    metadata: dict[str, Any]
    password: str | None
    expires_at: str | None = None
    acl: tuple[str, ...] = ()
    if_version: int | None = None


def _item(document: Incoming) -> _Item:
    return _Item(
        id=document.id,
        text=document.text,
        data=document.data,
        upload=document.upload.name if document.upload else None,
        media_type=document.media_type,
        filename=document.filename,
        title=document.title,
        metadata=dict(document.metadata),
        password=document.password,
        expires_at=document.expires_at,
        acl=document.acl,
        if_version=document.if_version,
    )


def _document(store: Store, item: JobItem, job_id: str) -> Incoming:
    stored = msgspec.msgpack.decode(item.payload, type=_Item)
    return Incoming(
        id=stored.id,
        text=stored.text,
        data=stored.data,
        upload=store.uploads / stored.upload if stored.upload else None,
        media_type=stored.media_type,
        filename=stored.filename,
        title=stored.title,
        metadata=stored.metadata,
        password=stored.password,
        expires_at=stored.expires_at,
        acl=stored.acl,
        if_version=stored.if_version,
        slot=(job_id, item.position),
    )


def _failure(job_id: str, item: JobItem) -> Receipt:
    """The receipt of an item that nothing could be made of."""
    id_ = msgspec.msgpack.decode(item.payload, type=_Item).id
    outcome = Outcome(id_, "failed", error=_FAILED)
    return Receipt(job_id, item.position, msgspec.to_builtins(outcome), failed=True)


def _keep_uploads(folder: Path, job_id: str, documents: Sequence[Incoming]) -> list[Incoming]:
    """Move uploads beside the collection, on disk for good before the job that names them is."""
    kept = [
        _keep_upload(document, folder / f"{job_id}-{position}") for position, document in enumerate(documents)
    ]
    files.sync(folder)
    return kept


def _keep_upload(document: Incoming, place: Path) -> Incoming:
    if document.upload is None:
        return document
    files.sync(document.upload)
    document.upload.rename(place)
    return replace(document, upload=place)


def _drop_uploads_of(folder: Path, job_id: str) -> None:
    for upload in folder.glob(f"{job_id}-*"):
        upload.unlink(missing_ok=True)


def _drop_uploads(folder: Path, *, keep: Collection[str]) -> None:
    for upload in folder.iterdir():
        if upload.name.rpartition("-")[0] not in keep:
            upload.unlink()


@asynccontextmanager
async def open_jobs(catalog: Catalog, ingestor: Ingestor, reembedder: Reembedder) -> AsyncIterator[JobRunner]:
    """A runner at work; closing it parks its jobs where they are."""
    runner = JobRunner(catalog, ingestor, reembedder)
    await runner.resume()
    async with beside(runner.work()):
        yield runner
