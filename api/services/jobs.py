"""Ingestion that goes on after its request was answered, and after a crash.

A job is rows in its collection's own database: each item is a document that waits, and its receipt commits
in the same transaction as the document. So a job that was accepted survives kill -9, and resumes without
doing anything twice. A job's id names its collection: ``<collection>.<hex>``. What is settled stays, even if
the job is cancelled.

Invariants: the jobs of one collection run one after the other, in the order they came, so the document that
was sent last is the one that stays; collections take turns, so one whose model is away holds up no other;
a document that cannot be ingested is settled as failed and stops nothing else.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from api.errors import RequestError
from api.services.incoming import Incoming, size_of
from api.services.ingest import Ingestor
from api.services.job_items import encode_item, failure_of, fetched_items
from api.services.job_progress import Paces, Progress, Standing, ended
from api.services.job_queue import COLLECTIONS_AT_ONCE, JobQueue, LocalQueue, collection_of
from api.services.leased_queue import LeasedQueue
from api.services.reembed import Reembedder, is_reembedding
from embedd.errors import EmbeddError
from embedd.ownership import beside, to_its_end
from index.catalogs import Collections
from index.errors import CollectionNotFound, JobNotHeld, OutcomeUnknown, StoreError
from index.rows import JobItem, JobState, Once
from index.store import Store

log = structlog.get_logger()

ITEMS_AT_ONCE = 512
"""Of one turn. Between two turns the model has nothing to do until the first documents are parsed."""

RETRY_S = 2.0
_PAUSE_S = 0.05
"""Of a job that is being cancelled, until that is on disk."""


class JobRunner:
    """Works off the jobs of every collection, a few collections at a time."""

    def __init__(
        self, catalog: Collections, queue: JobQueue, ingestor: Ingestor, reembedder: Reembedder
    ) -> None:
        self._catalog = catalog
        self._queue = queue
        self._ingestor = ingestor
        self._reembedder = reembedder
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}  # for the end of a job
        self._running: dict[str, asyncio.Task[float | None]] = {}  # the turn of a job
        self._cancelled: set[str] = set()  # while that is being written
        self._paces = Paces()
        self._embedded: dict[str, int] = {}  # passages of the documents of a turn, written or not

    async def submit(self, store: Store, documents: Sequence[Incoming], once: Once | None = None) -> str:
        """Keep ``documents`` as a job and answer its id; after this a crash does not lose them.

        If they were kept ``once`` before, it is that job's id. A caller that leaves meanwhile leaves a job
        that runs or none, never one that waits for a restart.
        """
        job_id = f"{store.settings.name}.{uuid.uuid4().hex}"
        return await to_its_end(self._keep(store, job_id, documents, once))

    async def _keep(self, store: Store, job_id: str, documents: Sequence[Incoming], once: Once | None) -> str:
        kept_id, is_known = None, True
        uploads = {place: one.upload for place, one in enumerate(documents) if one.upload is not None}
        sizes = await asyncio.to_thread(lambda: [size_of(document) for document in documents])
        items = [encode_item(document) for document in documents]
        try:
            if uploads:
                await store.uploads.keep(job_id, uploads)
            kept_id = await store.add_job(job_id, items, once, sizes)
        except (OutcomeUnknown, asyncio.CancelledError):
            is_known = False  # there may be a job that needs them; if there is none, they are swept
            raise
        finally:
            if uploads and is_known and kept_id != job_id:
                await store.uploads.drop(job_id)
        if kept_id == job_id:
            self._queue.put(job_id)
        return kept_id

    async def reembed(self, source: Store, model: str, into: str, switch: Sequence[str]) -> str:
        """Have ``source`` embedded again and answer the job's id; see ``Reembedder.start``."""
        return await to_its_end(self._reembedder.start(source, model, into, switch, self._queue.put))

    async def cancel(self, store: Store, job_id: str) -> None:
        """End a job: what is settled stays, what waits is dropped. One that has ended stays as it is."""
        await to_its_end(self._cancel(store, job_id))

    async def _cancel(self, store: Store, job_id: str) -> None:
        self._cancelled.add(job_id)
        try:
            if (turn := self._running.get(job_id)) is not None:
                turn.cancel()
                await asyncio.wait([turn])
            await store.cancel_job(job_id)  # behind all that the turn has written
            await store.uploads.drop(job_id)
        finally:
            self._cancelled.discard(job_id)

    def progress(self, state: JobState) -> Progress:
        """How far a job of documents is."""
        if state.finished_at is not None:
            self._paces.let_go(state.id)
            return ended(_standing(state), state.created_at, state.finished_at)
        return self.pace(state.id, _standing(state, self._embedded.get(state.id, 0)))

    def pace(self, job_id: str, standing: Standing) -> Progress:
        """How fast a running job of any kind is, since it was first looked at or taken up."""
        self._paces.take_up(job_id, standing)
        return self._paces.progress(job_id, standing)

    async def finished(self, store: Store, job_id: str) -> None:
        """Until every document of the job is settled.

        Raises:
            EmbeddError, RequestError, StoreError: why it cannot go on now; it is tried again.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(job_id, [])
        waiting.append(waiter)
        try:
            while (job := await store.job(job_id)) is None or job.finished_at is None:
                await asyncio.wait([waiter], timeout=self._queue.look_again_s)
                if waiter.done():
                    return waiter.result()
        finally:
            waiting.remove(waiter)
            if not waiting:
                self._waiting.pop(job_id, None)

    async def resume(self) -> None:
        """Queue what a former process left unfinished, and drop uploads that no job waits for."""
        for name in self._catalog.names():
            with suppress(CollectionNotFound):  # dropped meanwhile
                store = await self._catalog.get(name)
                jobs = await store.unfinished_jobs()
                await store.uploads.sweep(jobs)
                for job_id in jobs:
                    log.info("job_resumed", job=job_id)
                    self._queue.put(job_id)

    async def work(self) -> None:
        """Run jobs until cancelled; what is cut short stays pending."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.work(self._lose))
            for _ in range(COLLECTIONS_AT_ONCE):
                group.create_task(self._take_turns())

    async def _take_turns(self) -> None:
        while True:
            job_id = await self._queue.take()
            async with asyncio.TaskGroup() as owner:
                turn = self._running[job_id] = owner.create_task(self._attempt(job_id))
            del self._running[job_id]
            pause_s = _PAUSE_S if turn.cancelled() else turn.result()
            if pause_s is None:
                self._paces.let_go(job_id)
            await self._queue.give_back(job_id, pause_s)

    def _lose(self, job_id: str) -> None:
        """Another service works on it, or it was cancelled there."""
        log.info("job_left_to_others", job=job_id)
        self._paces.let_go(job_id)
        self._reembedder.forget(job_id)
        if (turn := self._running.get(job_id)) is not None:
            turn.cancel()

    async def _attempt(self, job_id: str) -> float | None:
        """A turn, and its end told to those who wait; seconds until the next one, None if there is none."""
        try:
            pause_s = await self._turn(job_id)
            if pause_s is None:
                self._tell(job_id, None)
        except CollectionNotFound as error:
            log.info("job_dropped", job=job_id)  # with its collection
            pause_s = None
            self._tell(job_id, error)
        except JobNotHeld:  # those who wait for it look where it is worked on
            pause_s = RETRY_S
        except (EmbeddError, RequestError, StoreError) as error:
            log.warning("job_waits", job=job_id, reason=str(error))
            pause_s = RETRY_S
            self._tell(job_id, error)
        return pause_s

    def _tell(self, job_id: str, error: Exception | None) -> None:
        """Those who wait for the job hear that it is finished, or why it is not."""
        for waiter in self._waiting.get(job_id, ()):
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    async def _turn(self, job_id: str) -> float | None:
        """Do the next part of a job; seconds until its next turn, None if it is finished."""
        store = await self._catalog.get(collection_of(job_id))
        if job_id in self._cancelled:
            return _PAUSE_S
        if is_reembedding(job_id):
            return await self._reembedder.turn(store, job_id)
        if items := await store.pending_items(job_id, ITEMS_AT_ONCE):
            await self._ingest_next(store, job_id, items)
            if await store.pending_items(job_id, 1):
                return 0.0
        await store.uploads.drop(job_id)
        log.info("job_finished", job=job_id)
        return None

    async def _ingest_next(self, store: Store, job_id: str, items: Sequence[JobItem]) -> None:
        state = await store.job(job_id)
        assert state is not None, "a job that has items is there"
        self._paces.take_up(job_id, _standing(state))
        self._embedded[job_id] = state.passages
        try:
            async with fetched_items(store, job_id, items) as fetched:
                await self._ingest(store, job_id, fetched)
        finally:
            del self._embedded[job_id]

    async def _ingest(self, store: Store, job_id: str, items: Sequence[tuple[JobItem, Incoming]]) -> None:
        def count(passages: int) -> None:
            self._embedded[job_id] += passages

        try:
            await self._ingestor.ingest(store, [document for _, document in items], count)
        except (EmbeddError, RequestError, StoreError):
            raise
        except Exception:
            # A bug that one of these documents has found: whichever it is, the others are not to blame.
            if len(items) > 1:
                for one in items:
                    await self._ingest(store, job_id, [one])
                return
            item, _ = items[0]
            log.exception("job_item_failed", job=job_id, position=item.position)
            await store.settle([failure_of(item, job_id)])


def _standing(state: JobState, embedded: int = 0) -> Standing:
    """Of a job of documents; some passages may be ``embedded`` and not yet written."""
    return Standing(
        documents=state.done,
        documents_total=state.total,
        done_bytes=state.done_bytes,
        size_bytes=state.size_bytes,
        passages=max(state.passages, embedded),
    )


@asynccontextmanager
async def open_jobs(
    catalog: Collections, ingestor: Ingestor, reembedder: Reembedder
) -> AsyncIterator[JobRunner]:
    """A runner at work; closing it parks its jobs where they are."""
    queue = LocalQueue() if catalog.leases is None else LeasedQueue(catalog.leases)
    runner = JobRunner(catalog, queue, ingestor, reembedder)
    await runner.resume()
    try:
        async with beside(runner.work()):
            yield runner
    finally:
        await queue.close()
