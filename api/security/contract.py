"""Keys as the public contract has them: requests become drafts, keys become answers without their secrets."""

from datetime import datetime
from typing import Any

from msgspec import UNSET

from api.errors import InvalidRequest
from api.schemas_keys import KeyAnswer, KeyRequest, NewKeyAnswer
from api.security.identity import Quota
from api.security.keys import Draft, Key
from index.codec import timestamp


def draft_of(request: KeyRequest) -> Draft:
    """The key that is asked for.

    Raises:
        InvalidRequest: it would be of no use, or allow more than its tags say.
    """
    if request.acl is not None and request.scope != "read":
        raise InvalidRequest(
            "a key with `acl` may only read: who writes could give any document any tags", param="scope"
        )
    if request.collections is not None and request.scope == "admin":
        raise InvalidRequest(
            "a key with `collections` cannot have the scope admin: who makes keys could make one for all",
            param="scope",
        )
    return Draft(
        name=request.name,
        scope=request.scope,
        collections=request.collections,
        acl=request.acl,
        expires_at=None if request.expires_at is None else _to_come(request.expires_at),
        quota=Quota(request.requests_per_minute, request.tokens_per_minute),
    )


def describe(key: Key) -> KeyAnswer:
    return KeyAnswer(**_fields(key))


def describe_new(key: Key, whole: str) -> NewKeyAnswer:
    return NewKeyAnswer(**_fields(key), key=whole)


def _to_come(moment: datetime) -> str:
    try:
        expires_at = timestamp(moment)
    except OverflowError as error:
        raise InvalidRequest("`expires_at` is out of range", param="expires_at") from error
    if expires_at <= timestamp():
        raise InvalidRequest("`expires_at` is in the past", param="expires_at")
    return expires_at


def _fields(key: Key) -> dict[str, Any]:
    optional = {
        "collections": key.collections,
        "acl": key.acl,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "requests_per_minute": key.quota.requests_per_minute,
        "tokens_per_minute": key.quota.tokens_per_minute,
    }
    shown = {name: UNSET if value is None else value for name, value in optional.items()}
    return {"id": key.id, "name": key.name, "scope": key.scope, "created_at": key.created_at} | shown
