"""The contract as types: changing documents in place."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from api.schemas import ExpiresAt, Request, Title

MergePatch = Annotated[
    dict[str, Any],
    Meta(description="A JSON merge patch (RFC 7396): null removes a key, objects are merged."),
]


class DocumentChange(Request):
    """What is left out stays as it is; ``expires_at: null`` lets the document stay for good."""

    metadata: MergePatch | UnsetType = UNSET
    title: Title | UnsetType = UNSET
    expires_at: ExpiresAt | UnsetType | None = UNSET
