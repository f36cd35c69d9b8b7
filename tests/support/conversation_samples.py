"""What the tests of conversations keep."""

from typing import Any

from api.conversations.records import Conversation, Message, new_id
from index.codec import timestamp


def conversation_of(**fields: Any) -> Conversation:
    now = timestamp()
    known = {"id": new_id(), "title": "", "model": None, "retrieval": None, "metadata": {}}
    return Conversation(**known | {"created_at": now, "updated_at": now} | fields)


def message_of(content: str, **details: Any) -> Message:
    return Message(new_id(), "user", content, timestamp(), details)
