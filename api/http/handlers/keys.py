"""API keys: make, list, revoke."""

from http import HTTPStatus

from api.http.routing import Call, Reply
from api.schemas import NoQuery
from api.schemas_keys import KeyAnswer, KeyList, KeyRequest
from api.security.contract import describe, describe_new, draft_of


async def post(call: Call[KeyRequest, NoQuery]) -> Reply:
    """Make a key; the answer is the only one that has all of it."""
    made = await call.services.gate.keys.create(draft_of(call.body))
    return Reply(describe_new(*made), HTTPStatus.CREATED)


async def list_all(call: Call[None, NoQuery]) -> KeyList:
    """All keys, without their secrets."""
    return KeyList(keys=[describe(key) for key in call.services.gate.keys.all()])


async def revoke(call: Call[None, NoQuery]) -> KeyAnswer:
    """Revoke a key: from now on it opens nothing."""
    return describe(await call.services.gate.keys.revoke(call.path["id"]))
