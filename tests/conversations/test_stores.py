"""What every store of conversations does."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest
from conversation_samples import conversation_of, message_of

from api.conversations import postgres_store, redis_store, sqlite_store
from api.conversations.records import expiry, new_id
from api.conversations.store import ConversationStore
from api.errors import Conflict, NotFound
from index.codec import timestamp


def soon(seconds: float) -> str:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds))


async def test_a_conversation_is_read_as_it_was_made(store: ConversationStore) -> None:
    rich = conversation_of(
        title="Gezeiten 🌊 '\"\n",
        model="extractive",
        retrieval={"collection": "docs", "acl": ["sea"], "filter": {"year": {"$gte": 2020}}},
        metadata={"user": "ü", "nested": {"list": [1, None, True, 0.5]}},
        expires_at="2999-01-01T00:00:00.000Z",
    )
    bare = conversation_of()
    for conversation in (rich, bare):
        await store.create(conversation)
        assert await store.get(conversation.id) == conversation


async def test_messages_come_in_the_order_in_which_they_were_added(store: ConversationStore) -> None:
    conversation = conversation_of()
    await store.create(conversation)
    sources = [{"index": 1, "quote": "The moon\0 pulls."}]
    first = [message_of("Why? 🌊\n"), message_of("", sources=sources, finish_reason="stop")]
    await store.append(conversation.id, first)
    await store.append(conversation.id, [third := message_of("And when?")])
    assert await store.messages(conversation.id) == [*first, third]
    assert await store.messages(conversation.id, last=2) == [first[1], third]
    after = await store.get(conversation.id)
    assert after.messages == 3
    assert after.updated_at >= conversation.updated_at


async def test_pages_go_from_the_newest_to_the_oldest_also_past_one_that_went(
    store: ConversationStore,
) -> None:
    made = [conversation_of() for _ in range(5)]
    dice = random.Random(1)
    for conversation in dice.sample(made, len(made)):
        await store.create(conversation)
    newest_first = [conversation.id for conversation in reversed(made)]
    first = await store.page(2)
    await store.delete(first[-1].id)
    second = await store.page(2, first[-1].id)
    third = await store.page(2, second[-1].id)
    assert [each.id for each in (*first, *second, *third)] == newest_first
    assert await store.page(2, third[-1].id) == []


async def test_what_is_deleted_is_gone_with_its_messages(store: ConversationStore) -> None:
    conversation = conversation_of()
    await store.create(conversation)
    await store.append(conversation.id, [message_of("hello")])
    assert await store.delete(conversation.id)
    assert not await store.delete(conversation.id)
    for ask in (store.get(conversation.id), store.messages(conversation.id)):
        with pytest.raises(NotFound):
            await ask
    with pytest.raises(NotFound):
        await store.append(conversation.id, [message_of("hello?")])
    assert await store.page(10) == []


async def test_what_has_expired_is_not_there_and_is_swept(store: ConversationStore) -> None:
    past = conversation_of(expires_at="2001-01-01T00:00:00.000Z")
    future = conversation_of(expires_at=soon(600))
    for conversation in (past, future):
        await store.create(conversation)
    with pytest.raises(NotFound):
        await store.get(past.id)
    with pytest.raises(NotFound):
        await store.append(past.id, [message_of("too late")])
    assert [each.id for each in await store.page(10)] == [future.id]
    assert await store.sweep() == 1
    assert await store.sweep() == 0
    assert await store.get(future.id) == future


async def test_a_conversation_lasts_so_long_behind_its_last_message(store: ConversationStore) -> None:
    conversation = conversation_of(expires_at=soon(60), lasts=3600.0)
    await store.create(conversation)
    await store.append(conversation.id, [message_of("still here")])
    after = (await store.get(conversation.id)).expires_at
    assert after is not None
    assert after > soon(3500)
    fixed = conversation_of(expires_at=soon(60))
    await store.create(fixed)
    await store.append(fixed.id, [message_of("still here")])
    assert (await store.get(fixed.id)).expires_at == fixed.expires_at


async def test_messages_that_are_added_together_stay_together(store: ConversationStore) -> None:
    conversation = conversation_of()
    await store.create(conversation)
    pairs = [[message_of(f"question {n}"), message_of(f"answer {n}")] for n in range(20)]
    await asyncio.gather(*(store.append(conversation.id, pair) for pair in pairs))
    said = [message.content for message in await store.messages(conversation.id)]
    assert len(said) == 40
    for question, answer in zip(said[::2], said[1::2], strict=True):
        assert answer == question.replace("question", "answer")


async def test_a_conversation_takes_so_many_messages_and_no_half_of_some(
    store: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (postgres_store, redis_store, sqlite_store):
        monkeypatch.setattr(module, "MOST_MESSAGES", 3)
    conversation = conversation_of()
    await store.create(conversation)
    await store.append(conversation.id, [message_of("one"), message_of("two")])
    with pytest.raises(Conflict):
        await store.append(conversation.id, [message_of("three"), message_of("four")])
    await store.append(conversation.id, [message_of("three")])
    assert (await store.get(conversation.id)).messages == 3


def test_ids_sort_by_the_moment_when_they_were_given() -> None:
    ids = [new_id() for _ in range(1000)]
    coarse = ids[::50]
    assert len(set(ids)) == 1000
    assert coarse == sorted(coarse)


def test_what_does_not_last_for_a_time_expires_when_it_was_said_to() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert expiry(None, None, now) is None
    assert expiry("2030-01-01T00:00:00.000Z", None, now) == "2030-01-01T00:00:00.000Z"
    assert expiry("2030-01-01T00:00:00.000Z", 60.0, now) == "2026-01-01T00:01:00.000Z"
