"""Conversations: begin, list, read, delete, and what was said in them."""

from http import HTTPStatus

import msgspec

from api.conversations.records import Conversation, Message
from api.http.routing import Call, Reply
from api.http.wire import check_metadata, moment_of
from api.schemas import Deleted, NoQuery
from api.schemas_chat import FunctionAnswer, ToolCallAnswer
from api.schemas_conversations import (
    ConversationAnswer,
    ConversationPage,
    ConversationPageQuery,
    ConversationRequest,
    MessageAnswer,
    MessageList,
    MessageRequest,
)
from api.services.conversations import Draft
from embedd.conversation import Turn


async def post(call: Call[ConversationRequest, NoQuery]) -> Reply:
    """Begin a conversation."""
    body = call.body
    check_metadata(body.metadata, "metadata")
    draft = Draft(
        title=body.title,
        model=body.model,
        retrieval=None if body.retrieval is None else msgspec.to_builtins(body.retrieval),
        metadata=body.metadata,
        expires_at=moment_of(body.expires_at, "expires_at"),
    )
    return Reply(_describe(await call.services.conversations.begin(draft)), HTTPStatus.CREATED)


async def list_page(call: Call[None, ConversationPageQuery]) -> ConversationPage:
    """Conversations, newest first, page by page."""
    query = call.query
    page = await call.services.conversations.store.page(query.limit, query.cursor)
    full = len(page) == query.limit
    return ConversationPage([_describe(each) for each in page], page[-1].id if full else None)


async def get(call: Call[None, NoQuery]) -> ConversationAnswer:
    """One conversation, without its messages."""
    return _describe(await call.services.conversations.store.get(call.path["id"]))


async def delete(call: Call[None, NoQuery]) -> Deleted:
    """Delete a conversation and all its messages."""
    return Deleted(deleted=int(await call.services.conversations.store.delete(call.path["id"])))


async def list_messages(call: Call[None, NoQuery]) -> MessageList:
    """What was said, oldest first."""
    found = await call.services.conversations.store.messages(call.path["id"])
    return MessageList([_describe_message(message) for message in found])


async def post_message(call: Call[MessageRequest, NoQuery]) -> Reply:
    """Add a message that nobody answers."""
    turn = Turn(call.body.role, call.body.content)
    message = await call.services.conversations.append(call.path["id"], turn)
    return Reply(_describe_message(message), HTTPStatus.CREATED)


def _describe(conversation: Conversation) -> ConversationAnswer:
    return ConversationAnswer(
        id=conversation.id,
        title=conversation.title,
        model=conversation.model,
        retrieval=None if conversation.retrieval is None else dict(conversation.retrieval),
        metadata=dict(conversation.metadata),
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
        expires_at=conversation.expires_at,
        messages=conversation.messages,
    )


def _describe_message(message: Message) -> MessageAnswer:
    details = dict(message.details)
    if calls := details.pop("tool_calls", None):
        details["tool_calls"] = [
            ToolCallAnswer(call["id"], FunctionAnswer(call["name"], call["arguments"])) for call in calls
        ]
    fields = {"id": message.id, "role": message.role, "content": message.content}
    return msgspec.convert(
        fields | {"created_at": message.created_at} | details, MessageAnswer, from_attributes=True
    )
