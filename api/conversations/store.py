"""Where conversations are kept: the border between those who speak and what remembers.

Invariant: what `append` has returned from is kept, whatever happens to this process; all of its messages or
none of them are.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from api.conversations.records import Conversation, Message
from api.errors import Conflict, NotFound

SQLITE = "sqlite"


class ConversationStore(Protocol):
    """Keeps conversations; those that have expired are not there."""

    async def create(self, conversation: Conversation) -> None:
        """Keep a new one.

        Raises:
            StorageFailed, StorageFull: it is not kept.
        """

    async def get(self, id: str) -> Conversation:
        """The one called ``id``.

        Raises:
            NotFound: there is none.
            StorageFailed: it cannot be read.
        """

    async def page(self, limit: int, after: str | None = None) -> list[Conversation]:
        """The newest ones, or those behind ``after``, an id that need not be there any more.

        Raises:
            StorageFailed: they cannot be read.
        """

    async def delete(self, id: str) -> bool:
        """Whether it was there.

        Raises:
            StorageFailed, StorageFull: it still is.
        """

    async def append(self, id: str, messages: Sequence[Message]) -> None:
        """Add messages at the end, together.

        Raises:
            NotFound: there is no such conversation.
            Conflict: it would have more than ``MOST_MESSAGES``.
            StorageFailed, StorageFull: none of them is kept.
        """

    async def messages(self, id: str, last: int | None = None) -> list[Message]:
        """All messages, or so many of the last ones, oldest first.

        Raises:
            NotFound: there is no such conversation.
            StorageFailed: they cannot be read.
        """

    async def sweep(self) -> int:
        """Remove some of those that have expired; gives how many.

        Raises:
            StorageFailed, StorageFull: they are still kept, and still not there.
        """


def not_found(id: str) -> NotFound:
    return NotFound(
        f"there is no conversation {id[:80]!r}", param="conversation", code="conversation_not_found"
    )


def full(id: str, limit: int) -> Conflict:
    return Conflict(
        f"conversation {id!r} would have more than {limit} messages: begin a new one",
        param="conversation",
        code="conversation_full",
    )


@asynccontextmanager
async def open_conversations(where: str, data: Path) -> AsyncIterator[ConversationStore]:
    """The store that ``where`` names: ``sqlite``, in the folder ``data``, or the URL of a Redis server.

    Raises:
        StoreError: it cannot be opened.
    """
    if where == SQLITE:
        from api.conversations.sqlite_store import open_sqlite  # noqa: PLC0415 - one of them is needed

        async with open_sqlite(data) as store:
            yield store
    else:
        from api.conversations.redis_store import open_redis  # noqa: PLC0415

        async with open_redis(where) as kept_elsewhere:
            yield kept_elsewhere
