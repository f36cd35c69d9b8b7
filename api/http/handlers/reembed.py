"""POST /v1/collections/{name}/reembed: the same documents under another model."""

from http import HTTPStatus

from api.http.authentication import permit_collection
from api.http.handlers.jobs import describe_job
from api.http.routing import Call, Reply
from api.schemas import NoQuery
from api.schemas_jobs import JobAccepted
from api.schemas_reembed import ReembedRequest


async def post(call: Call[ReembedRequest, NoQuery]) -> Reply:
    """Embed a collection again with another model, into a new collection; 202 and a job."""
    services, wanted = call.services, call.body
    await permit_collection(services, call.identity, wanted.into)
    source = await services.catalog.get(call.path["name"])
    job_id = await services.jobs.reembed(source, wanted.model, wanted.into, wanted.switch)
    job = await describe_job(services, await services.catalog.get(wanted.into), job_id)
    return Reply(JobAccepted(job=job), HTTPStatus.ACCEPTED)
