"""Ingestion that goes on after its request was answered, and after a crash.

A job is rows in its collection's own database: each item is a document that waits, and its receipt commits
in the same transaction as the document. So a job that was accepted survives kill -9, and resumes without
doing anything twice. A job's id names its collection: ``<collection>.<hex>``.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog
from index.catalog import Catalog

from api.services.ingest import Incoming, Ingestor
from embedd.errors import EmbeddError
from index.errors import CollectionNotFound, StoreError
from index.rows import JobItem
from index.store import Store

log = structlog.get_logger()

ITEMS_AT_ONCE = 128
JOBS_AT_ONCE = 2
RETRY_S = 2.0


class JobRunner:
    """Works off the jobs of every collection, a few at a time."""

    def __init__(self, catalog: Catalog, ingestor: Ingestor) -> None:
        self._catalog = catalog
        self._ingestor = ingestor
        self._waiting: asyncio.Queue[str] = asyncio.Queue()  # ids alone: the jobs are on disk

    async def submit(self, store: Store, documents: Sequence[Incoming]) -> str:
        """Keep ``documents`` as a job and answer its id; once this returns a crash does not lose them."""
        job_id = f"{store.settings.name}.{uuid.uuid4().hex}"
        kept = await asyncio.to_thread(_keep_uploads, store.uploads, job_id, documents)
        await store.add_job(job_id, [msgspec.msgpack.encode(_item(document)) for document in kept])
        self._waiting.put_nowait(job_id)
        return job_id

    async def resume(self) -> None:
        """Queue what a former process left unfinished, and drop uploads that no job waits for."""
        for name in self._catalog.names():
            store = self._catalog.get(name)
            jobs = await store.unfinished_jobs()
            for job_id in jobs:
                log.info("job_resumed", job=job_id)
                self._waiting.put_nowait(job_id)
            await asyncio.to_thread(_drop_uploads, store.uploads, keep=set(jobs))

    async def work(self) -> None:
        """Run jobs until cancelled; what is cut short stays pending."""
        async with asyncio.TaskGroup() as group:
            for _ in range(JOBS_AT_ONCE):
                group.create_task(self._work_off())

    async def _work_off(self) -> None:
        while True:
            job_id = await self._waiting.get()
            try:
                await self._run(job_id)
            except CollectionNotFound:
                log.info("job_dropped", job=job_id)  # with its collection

    async def _run(self, job_id: str) -> None:
        store = self._catalog.get(collection_of(job_id))
        while items := await store.pending_items(job_id, ITEMS_AT_ONCE):
            try:
                await self._ingest(store, job_id, items)
            except CollectionNotFound:
                raise
            except (EmbeddError, StoreError) as error:
                log.warning("job_waits", job=job_id, reason=str(error))
                await asyncio.sleep(RETRY_S)
        log.info("job_finished", job=job_id)

    async def _ingest(self, store: Store, job_id: str, items: Sequence[JobItem]) -> None:
        documents = [_document(store, item, job_id) for item in items]
        await self._ingestor.ingest(store, documents)
        for document in documents:
            if document.upload is not None:
                await asyncio.to_thread(document.upload.unlink, missing_ok=True)


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
        slot=(job_id, item.position),
    )


def _keep_uploads(folder: Path, job_id: str, documents: Sequence[Incoming]) -> list[Incoming]:
    """Move uploads beside the collection, on disk for good before the job that names them is."""
    kept = [
        _keep_upload(document, folder / f"{job_id}-{position}") for position, document in enumerate(documents)
    ]
    _sync(folder)
    return kept


def _keep_upload(document: Incoming, place: Path) -> Incoming:
    if document.upload is None:
        return document
    _sync(document.upload)
    document.upload.rename(place)
    return replace(document, upload=place)


def _drop_uploads(folder: Path, *, keep: Collection[str]) -> None:
    for upload in folder.iterdir():
        if upload.name.rpartition("-")[0] not in keep:
            upload.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@asynccontextmanager
async def open_jobs(catalog: Catalog, ingestor: Ingestor) -> AsyncIterator[JobRunner]:
    """A runner at work; closing it parks its jobs where they are."""
    runner = JobRunner(catalog, ingestor)
    await runner.resume()
    task = asyncio.create_task(runner.work(), name="jobs")
    try:
        yield runner
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
