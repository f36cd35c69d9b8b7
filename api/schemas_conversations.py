"""The bodies of conversations, which are kept from one request to the next."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from api.schemas import Answer, ExpiresAt, Metadata, Request
from api.schemas_chat import GroundingAnswer, Retrieval, SourceAnswer, ToolCallAnswer

ConversationTitle = Annotated[str, Meta(max_length=1_000)]


class ConversationRequest(Request):
    """``model`` and ``retrieval`` are those of its questions unless they bring their own."""

    title: ConversationTitle = ""
    model: str | None = None
    retrieval: Retrieval | None = None
    metadata: Metadata = field(default_factory=dict)
    expires_at: ExpiresAt | None = None


class ConversationAnswer(Answer):
    """``messages`` is how many there are."""

    id: str
    title: str
    model: str | None
    retrieval: dict[str, Any] | None
    metadata: Metadata
    created_at: str
    updated_at: str
    expires_at: str | None
    messages: int


class ConversationPage(Answer):
    """Newest first; ``next_cursor`` is null on the last page."""

    conversations: list[ConversationAnswer]
    next_cursor: str | None


class ConversationPageQuery(Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


class MessageRequest(Request):
    role: Literal["system", "user", "assistant"]
    content: str


class MessageAnswer(Answer):
    id: str
    role: str
    content: str
    created_at: str
    sources: list[SourceAnswer] | UnsetType = UNSET
    grounding: GroundingAnswer | UnsetType = UNSET
    finish_reason: str | UnsetType = UNSET
    tool_calls: list[ToolCallAnswer] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class MessageList(Answer):
    """Oldest first."""

    messages: list[MessageAnswer]
