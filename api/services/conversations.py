"""Conversations: what was said before goes along with a question, and question and answer are kept.

An answer is kept before its end is told, so whoever has seen the end can rely on it; one that was stopped is
kept as far as it came, and one that failed is not, so that it can be asked for again. Knows neither how
conversations are kept nor how an answer travels.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import structlog

from api.conversations.records import MOST_MESSAGES, Conversation, Message, expiry, new_id
from api.conversations.store import ConversationStore, full
from api.errors import NotFound
from api.services.answer import AnswerEvent, Finished
from api.services.counting import TokenCounter
from embedd.conversation import ToolCall, Turn
from embedd.generators import Delta, ToolCallPiece, joined_call
from embedd.ownership import beside, to_its_end
from index.codec import timestamp
from index.errors import StoreError

log = structlog.get_logger()

CANCELLED: Final = "cancelled"
_MOST_READ: Final = 1_000
"""Of the last messages; more never fit."""
_SWEEP_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class History:
    """What was said before: the turns that go along, oldest first, and how many messages were left out."""

    turns: tuple[Turn, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation that is to begin."""

    title: str = ""
    model: str | None = None
    retrieval: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    expires_at: str | None = None


class Conversations:
    """Begins conversations, reads them as context, and adds to them."""

    def __init__(
        self,
        store: ConversationStore,
        counter: TokenCounter,
        *,
        budget_tokens: int,
        lasts_s: float | None = None,
    ) -> None:
        self.store = store
        self._counter = counter
        self._budget_tokens = budget_tokens
        self._lasts_s = lasts_s

    async def begin(self, draft: Draft) -> Conversation:
        """A new conversation, which is kept.

        Raises:
            StorageFailed, StorageFull: it is not kept.
        """
        lasts = self._lasts_s if draft.expires_at is None else None
        now = timestamp()
        conversation = Conversation(
            id=new_id(),
            title=draft.title,
            model=draft.model,
            retrieval=draft.retrieval,
            metadata=draft.metadata,
            created_at=now,
            updated_at=now,
            expires_at=expiry(draft.expires_at, lasts),
            lasts=lasts,
        )
        await self.store.create(conversation)
        return conversation

    async def history(self, conversation: Conversation, context: int | None = None) -> History:
        """The last system turn, and of the others as many as fit, the newest; they begin with a user's turn.
        A generator that reads up to ``context`` tokens keeps half of them for what is new.

        Raises:
            NotFound: it is not there any more.
            StorageFailed: it cannot be read.
        """
        read = await self.store.messages(conversation.id, _MOST_READ)
        turns = [turn_of(message) for message in read]
        system = [turn for turn in turns if turn.role == "system"][-1:]
        said = [turn for turn in turns if turn.role != "system"]
        tokens = await self._counter.each([turn.content for turn in said])
        budget = min(self._budget_tokens, (context or 2 * self._budget_tokens) // 2)
        kept = said[_first_kept(said, tokens, budget) :]
        unread = max(0, conversation.messages - len(read))
        return History((*system, *kept), unread + len(said) - len(kept))

    async def append(self, id: str, turn: Turn) -> Message:
        """Add a message that nobody answers.

        Raises:
            NotFound, Conflict, StorageFailed, StorageFull: as the store does.
        """
        message = message_of(turn)
        await self.store.append(id, [message])
        return message


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question of a conversation, whose answer is going to be kept with what was ``sent``."""

    store: ConversationStore
    conversation: Conversation
    sent: tuple[Turn, ...]
    left_out: int

    def check(self) -> None:
        """Refuse what could not be kept.

        Raises:
            Conflict: the conversation has too many messages.
        """
        if self.conversation.messages + len(self.sent) + 1 > MOST_MESSAGES:
            raise full(self.conversation.id, MOST_MESSAGES)

    async def keep(self, events: AsyncGenerator[AnswerEvent, None]) -> AsyncGenerator[AnswerEvent, None]:
        """``events``, which are kept before the last one is told, and when whoever listens leaves.

        Raises:
            StorageFailed, StorageFull: the answer came to its end, and is not kept.
        """
        said = _Said()
        try:
            async with aclosing(events) as source:
                async for event in source:
                    said.add(event)
                    if isinstance(event, Finished):
                        await to_its_end(self._store(said, event))
                    yield event
        except (GeneratorExit, asyncio.CancelledError):
            if not said.finished:
                stopped = replace(said, finish_reason=CANCELLED, calls={})  # half a call is none
                await to_its_end(self._store(stopped, None))
            raise

    async def _store(self, said: "_Said", finished: Finished | None) -> None:
        sources = [msgspec.to_builtins(source) for source in finished.cited] if finished else []
        details: dict[str, Any] = {"finish_reason": said.finish_reason}
        details |= {"sources": [_without_nulls(source) for source in sources]} if sources else {}
        if finished is not None and finished.grounding is not None:
            details["grounding"] = msgspec.to_builtins(finished.grounding)
        calls = tuple(joined_call(pieces) for _, pieces in sorted(said.calls.items()))
        answer = Turn("assistant", "".join(said.texts), calls)
        messages = [message_of(turn) for turn in self.sent] + [message_of(answer, details)]
        with suppress(NotFound):  # who deleted it while it was answered does not want it kept
            await self.store.append(self.conversation.id, messages)


@dataclass(slots=True)
class _Said:
    """The first choice of an answer, as far as it has come."""

    texts: list[str] = field(default_factory=list)
    calls: dict[int, list[ToolCallPiece]] = field(default_factory=dict)
    finish_reason: str = "stop"
    finished: bool = False

    def add(self, event: AnswerEvent) -> None:
        self.finished = isinstance(event, Finished)
        if isinstance(event, Delta) and event.choice == 0:
            self.texts.append(event.text)
            for piece in event.tool_calls:
                self.calls.setdefault(piece.index, []).append(piece)
            self.finish_reason = event.finish_reason or self.finish_reason


def turn_of(message: Message) -> Turn:
    """A kept message as generators read it."""
    details = message.details
    calls = tuple(ToolCall(**call) for call in details.get("tool_calls", ()))
    return Turn(message.role, message.content, calls, details.get("tool_call_id"), details.get("name"))


def message_of(turn: Turn, details: Mapping[str, Any] | None = None) -> Message:
    """A turn as it is kept, with what else there is to keep of it."""
    kept: dict[str, Any] = dict(details or {})
    if turn.tool_calls:
        kept["tool_calls"] = [msgspec.to_builtins(call) for call in turn.tool_calls]
    kept |= _without_nulls({"tool_call_id": turn.tool_call_id, "name": turn.name})
    return Message(new_id(), turn.role, turn.content, timestamp(), kept)


def _first_kept(turns: Sequence[Turn], tokens: Sequence[int], budget: int) -> int:
    """Where the part begins that fits: with a turn of the user, so that an answer keeps its question and a
    tool's result its call.
    """
    total, fitting = 0, len(turns)
    while fitting and total + tokens[fitting - 1] <= budget:
        fitting -= 1
        total += tokens[fitting]
    if fitting == 0:
        return 0
    return next((place for place in range(fitting, len(turns)) if turns[place].role == "user"), len(turns))


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@asynccontextmanager
async def open_kept_conversations(
    store: ConversationStore, counter: TokenCounter, *, budget_tokens: int, lasts_s: float | None
) -> AsyncIterator[Conversations]:
    """The conversations that are kept in ``store``; expired ones are removed."""
    async with beside(_sweep(store)):
        yield Conversations(store, counter, budget_tokens=budget_tokens, lasts_s=lasts_s)


async def _sweep(store: ConversationStore) -> None:
    while True:
        try:
            if removed := await store.sweep():
                log.info("conversations_expired", removed=removed)
        except StoreError as error:
            log.warning("conversations_not_swept", reason=str(error))
        await asyncio.sleep(_SWEEP_EVERY_S)
