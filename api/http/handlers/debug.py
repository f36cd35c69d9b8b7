"""What the service is doing right now, for its administrators: off unless ``debug_endpoints`` is set.

Asked from this machine only: names of collections and where a request is are nobody else's business.
"""

import ipaddress

from api.errors import NotFound
from api.http.routing import Call
from api.schemas import NoQuery
from api.schemas_debug import Memory, ModelQueues, RunningTasks
from api.services.inside import memory, model_queues, running_tasks


async def tasks(call: Call[None, NoQuery]) -> RunningTasks:
    """Tasks that run, and where each of them waits."""
    _refuse_unless_allowed(call)
    return running_tasks()


async def queues(call: Call[None, NoQuery]) -> ModelQueues:
    """What waits for each model, and its workers."""
    _refuse_unless_allowed(call)
    return model_queues(call.services.models)


async def resident(call: Call[None, NoQuery]) -> Memory:
    """Memory of the processes and of the collections that are loaded."""
    _refuse_unless_allowed(call)
    return await memory(call.services.models, call.services.catalog)


def _refuse_unless_allowed(call: Call[None, NoQuery]) -> None:
    """As if there were no such path."""
    if not (call.services.settings.debug_endpoints and _is_here(call.request.remote)):
        raise NotFound(f"no such path: {call.request.path}; /docs lists them", code="route_not_found")


def _is_here(remote: str | None) -> bool:
    return remote is not None and ipaddress.ip_address(remote).is_loopback
