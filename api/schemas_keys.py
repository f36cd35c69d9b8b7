"""The bodies of API keys. All of a key stands in one answer alone: that to the request that made it."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from api.schemas import Acl, Answer, ExpiresAt, Request
from api.security.identity import Scope

KeyName = Annotated[str, Meta(min_length=1, max_length=200, description="For people, and in logs.")]
Collections = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=63)]],
    Meta(
        min_length=1,
        max_length=1_000,
        description="The only collections that it opens, by their own names; left out: all.",
    ),
]
Tags = Annotated[Acl, Meta(description="Tags that its searches have, whatever they say; left out: any.")]
PerMinute = Annotated[int, Meta(ge=1, le=10**9)]


class KeyRequest(Request):
    """Keys with ``acl`` may only read."""

    name: KeyName
    scope: Scope = Scope.READ
    collections: Collections | None = None
    acl: Tags | None = None
    expires_at: ExpiresAt | None = None
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None


class KeyAnswer(Answer):
    """A key without its secret."""

    id: str
    name: str
    scope: Scope
    created_at: str
    collections: list[str] | UnsetType = UNSET
    acl: list[str] | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    revoked_at: str | UnsetType = UNSET
    requests_per_minute: int | UnsetType = UNSET
    tokens_per_minute: int | UnsetType = UNSET


class NewKeyAnswer(KeyAnswer, kw_only=True):
    """``key`` is all of it, and is told only here."""

    key: str


class KeyList(Answer):
    """Those that are revoked or have expired too, oldest first."""

    keys: list[KeyAnswer]
