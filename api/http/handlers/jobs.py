"""GET /v1/jobs/{id}: how far a job is."""

from msgspec import UNSET

from api.errors import NotFound
from api.http.routing import Call
from api.schemas import DocumentOutcome, JobAnswer, NoQuery
from api.services.incoming import Outcome
from api.services.jobs import collection_of
from api.services.reembed import Reembedder, is_reembedding
from index.rows import JobState
from index.store import Store


async def get(call: Call[None, NoQuery]) -> JobAnswer:
    """How far a job is."""
    job_id = call.path["id"]
    name = collection_of(job_id)
    if name not in call.services.catalog.names():
        raise NotFound(f"there is no job {job_id!r}", code="job_not_found")
    store = call.services.catalog.get(name)
    if is_reembedding(job_id):
        return await describe_reembedding(call.services.reembedder, store, job_id)
    return await describe_job(store, job_id)


async def describe_job(store: Store, job_id: str) -> JobAnswer:
    """A job and, once it is finished, what became of its documents."""
    job = await _find(store, job_id)
    finished = job.finished_at is not None
    results = await store.job_results(job_id) if finished else []
    return JobAnswer(
        id=job.id,
        collection=store.settings.name,
        status="finished" if finished else "running",
        total=job.total,
        done=job.done,
        failed=job.failed,
        created_at=job.created_at,
        finished_at=job.finished_at,
        documents=[outcome_answer(Outcome(**result)) for result in results if result] if finished else UNSET,
    )


async def describe_accepted_job(store: Store, job_id: str) -> JobAnswer:
    """A job as it was when it was accepted, however far it is by now."""
    job = await _find(store, job_id)
    return JobAnswer(
        id=job.id,
        collection=store.settings.name,
        status="running",
        total=job.total,
        done=0,
        failed=0,
        created_at=job.created_at,
        finished_at=None,
    )


async def describe_reembedding(reembedder: Reembedder, store: Store, job_id: str) -> JobAnswer:
    """A job that embeds a collection again and, once it is finished, which documents failed."""
    job, progress = await _find(store, job_id), await reembedder.progress(store, job_id)
    finished = job.finished_at is not None
    return JobAnswer(
        id=job.id,
        collection=store.settings.name,
        status="finished" if finished else "running",
        total=progress.total,
        done=progress.done,
        failed=len(progress.failures),
        created_at=job.created_at,
        finished_at=job.finished_at,
        documents=[outcome_answer(outcome) for outcome in progress.failures] if finished else UNSET,
        switched=list(progress.switched) if finished else UNSET,
        error=progress.error or UNSET,
    )


async def _find(store: Store, job_id: str) -> JobState:
    job = await store.job(job_id)
    if job is None:
        raise NotFound(f"there is no job {job_id!r}", code="job_not_found")
    return job


def outcome_answer(outcome: Outcome) -> DocumentOutcome:
    return DocumentOutcome(
        id=outcome.id,
        status=outcome.status,
        passages=outcome.passages,
        tokens=outcome.tokens,
        error=outcome.error if outcome.error is not None else UNSET,
        code=outcome.code if outcome.code is not None else UNSET,
    )
