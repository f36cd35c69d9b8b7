"""Aliases: other names for collections, which can be given to another one from one request to the next."""

from http import HTTPStatus

from api.http.authentication import permit_collection, visible_aliases
from api.http.routing import Call, Reply
from api.schemas import Deleted, NoQuery
from api.schemas_aliases import AliasAnswer, AliasList, AliasRequest


async def list_all(call: Call[None, NoQuery]) -> AliasList:
    """All aliases."""
    pairs = await visible_aliases(call.services, call.identity)
    return AliasList(aliases=[AliasAnswer(alias=alias, collection=name) for alias, name in pairs.items()])


async def put(call: Call[AliasRequest, NoQuery]) -> Reply:
    """Give a collection another name; one that another collection has is taken from it, at once."""
    alias, name = call.path["name"], call.body.collection
    for each in (alias, name):
        await permit_collection(call.services, call.identity, each)
    is_new = await call.services.catalog.assign(alias, name)
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return Reply(AliasAnswer(alias=alias, collection=name), status)


async def delete(call: Call[None, NoQuery]) -> Deleted:
    """Take an alias away; its collection stays."""
    await permit_collection(call.services, call.identity, call.path["name"])
    return Deleted(deleted=int(await call.services.catalog.unassign(call.path["name"])))
