"""Jobs: how far they are, at once or as they go on, and their end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import nullcontext, suppress

from aiohttp import web
from msgspec import UNSET

from api.errors import NotFound, ShuttingDown
from api.http.authentication import permit_collection, visible_names
from api.http.routing import Call
from api.http.sse import DONE, EVENT_PERIOD_S, stream_events
from api.schemas import DocumentOutcome, NoQuery
from api.schemas_jobs import JobAnswer, JobList, JobProgress, JobsQuery, JobStatus
from api.services.container import Services
from api.services.incoming import Outcome
from api.services.job_progress import Progress, Standing, ended
from api.services.job_queue import collection_of
from api.services.reembed import is_reembedding
from index.errors import CollectionNotFound
from index.rows import JobState
from index.store import Store


async def get(call: Call[None, NoQuery]) -> JobAnswer:
    """How far a job is."""
    await _permit(call)
    return await _describe_found(call.services, call.path["id"])


async def list_all(call: Call[None, JobsQuery]) -> JobList:
    """The newest jobs, newest first, without what became of their documents."""
    services, wanted = call.services, call.query
    names = await visible_names(services, call.identity)
    if wanted.collection is not None:
        await permit_collection(services, call.identity, wanted.collection)
        names = [wanted.collection]
    found: list[tuple[Store, JobState]] = []
    for name in names:
        with (
            suppress(CollectionNotFound) if wanted.collection is None else nullcontext()
        ):  # dropped meanwhile
            store = await services.catalog.get(name)
            found += [(store, state) for state in await store.jobs(wanted.limit)]
    found.sort(key=lambda each: each[1].created_at, reverse=True)
    return JobList(jobs=[await _describe(services, *each) for each in found[: wanted.limit]])


async def cancel(call: Call[None, NoQuery]) -> JobAnswer:
    """End a job: what is settled stays, what waits is dropped; one that has ended stays as it is."""
    await _permit(call)
    job_id = call.path["id"]
    store = await _store_of(call.services, job_id)
    await _find(store, job_id)
    await call.services.jobs.cancel(store, job_id)
    return await _describe_found(call.services, job_id)


async def follow(call: Call[None, NoQuery]) -> web.StreamResponse:
    """A job as it goes on, until it has ended; server-sent events, each like the answer of GET."""
    await _permit(call)
    return await stream_events(call.request, _events(call.services, call.path["id"]), end=DONE)


async def _events(services: Services, job_id: str) -> AsyncGenerator[JobAnswer, None]:
    """The first at once; what it knows is on disk, so it looks again and again and misses nothing."""
    job = await _describe_found(services, job_id)
    yield job
    while job.status == "running":
        if services.readiness.is_closing:
            raise ShuttingDown("the service is shutting down; the job goes on when it is back")
        await asyncio.sleep(EVENT_PERIOD_S)
        try:
            job = await _describe_found(services, job_id)
        except (NotFound, CollectionNotFound) as error:
            raise NotFound(
                f"collection {job.collection!r} was deleted, and the job with it", code="job_not_found"
            ) from error
        yield job


async def describe_job(services: Services, store: Store, job_id: str) -> JobAnswer:
    """A job and, once it has ended, what became of its documents."""
    state = await _find(store, job_id)
    job = await _describe(services, store, state)
    if state.finished_at is None:
        return job
    if is_reembedding(job_id):
        outcomes = (await services.reembedder.progress(store, job_id)).failures
    else:
        outcomes = [Outcome(**result) for result in await store.job_results(job_id) if result]
    job.documents = [outcome_answer(outcome) for outcome in outcomes]
    return job


async def describe_accepted_job(store: Store, job_id: str) -> JobAnswer:
    """A job as it was when it was accepted, however far it is by now."""
    job = await _find(store, job_id)
    standing = Standing(0, job.total, size_bytes=job.size_bytes)
    return JobAnswer(
        id=job.id,
        collection=store.settings.name,
        status="running",
        total=job.total,
        done=0,
        failed=0,
        created_at=job.created_at,
        finished_at=None,
        progress=_progress_answer(Progress(standing)),
    )


def outcome_answer(outcome: Outcome) -> DocumentOutcome:
    return DocumentOutcome(
        id=outcome.id,
        status=outcome.status,
        passages=outcome.passages,
        tokens=outcome.tokens,
        error=outcome.error if outcome.error is not None else UNSET,
        code=outcome.code if outcome.code is not None else UNSET,
    )


async def _permit(call: Call[None, NoQuery]) -> None:
    """An id begins with the name of the collection."""
    await permit_collection(call.services, call.identity, collection_of(call.path["id"]))


async def _store_of(services: Services, job_id: str) -> Store:
    try:
        return await services.catalog.get(collection_of(job_id))
    except CollectionNotFound as error:
        raise _no_such(job_id) from error


async def _find(store: Store, job_id: str) -> JobState:
    job = await store.job(job_id)
    if job is None:
        raise _no_such(job_id)
    return job


def _no_such(job_id: str) -> NotFound:
    return NotFound(f"there is no job {job_id!r}", code="job_not_found")


async def _describe_found(services: Services, job_id: str) -> JobAnswer:
    return await describe_job(services, await _store_of(services, job_id), job_id)


async def _describe(services: Services, store: Store, job: JobState) -> JobAnswer:
    if is_reembedding(job.id):
        return await _describe_reembedding(services, store, job)
    return JobAnswer(
        id=job.id,
        collection=store.settings.name,
        status=_status(job),
        total=job.total,
        done=job.done,
        failed=job.failed,
        created_at=job.created_at,
        finished_at=job.finished_at,
        progress=_progress_answer(services.jobs.progress(job)),
    )


async def _describe_reembedding(services: Services, store: Store, job: JobState) -> JobAnswer:
    """A job that embeds a collection again."""
    found, points = await services.reembedder.progress(store, job.id), await store.count()
    standing = Standing(found.done, found.total, passages=points)
    if job.finished_at is None:
        progress = services.jobs.pace(job.id, standing)
    else:
        progress = ended(standing, job.created_at, job.finished_at)
    return JobAnswer(
        id=job.id,
        collection=store.settings.name,
        status=_status(job),
        total=found.total,
        done=found.done,
        failed=len(found.failures),
        created_at=job.created_at,
        finished_at=job.finished_at,
        progress=_progress_answer(progress),
        switched=UNSET if job.finished_at is None else list(found.switched),
        error=found.error or UNSET,
    )


def _status(job: JobState) -> JobStatus:
    if job.cancelled:
        return "cancelled"
    return "running" if job.finished_at is None else "finished"


def _progress_answer(progress: Progress) -> JobProgress:
    standing, left = progress.standing, progress.seconds_left
    return JobProgress(
        documents=standing.documents,
        documents_total=standing.documents_total,
        bytes=standing.done_bytes,
        bytes_total=standing.size_bytes,
        passages=standing.passages,
        rate=round(progress.rate, 3),
        seconds_left=None if left is None else round(left, 1),
    )
