"""Conversations in a Redis server, for several services that answer as one.

Of each conversation there is a hash with its fields and a list with its messages, which Redis itself removes
when they expire, and its id is in a sorted set from which the newest are read. What is written together is
written by a script, which Redis runs as one. Whether an acknowledged message survives the loss of the server
is the server's to say (``appendfsync``).
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from api.conversations.records import BEHIND_ALL, MOST_MESSAGES, Conversation, Message, expiry
from api.conversations.store import full, not_found
from api.redis_server import RedisServer, open_redis_server
from index.codec import timestamp

_IDS: Final = "embedd:conversations"
_GONE: Final = -1
_FULL: Final = -2
# KEYS: the fields, the messages. ARGV: now, when it expires as text and in milliseconds ("" for never), how
# many messages there may be, and the new ones.
_APPEND: Final = """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if redis.call('LLEN', KEYS[2]) + #ARGV - 4 > tonumber(ARGV[4]) then return -2 end
for place = 5, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[place]) end
redis.call('HSET', KEYS[1], 'updated_at', ARGV[1], 'expires_at', ARGV[2])
for _, key in ipairs(KEYS) do
  if ARGV[2] == '' then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, ARGV[3]) end
end
return redis.call('LLEN', KEYS[2])
"""


class RedisConversations:
    """A `ConversationStore`; made by `open_redis`."""

    def __init__(self, server: RedisServer) -> None:
        self._in_words = server.in_words
        self._redis = server.client
        self._append = server.client.register_script(_APPEND)

    async def create(self, conversation: Conversation) -> None:
        fields = {
            "title": conversation.title,
            "model": json.dumps(conversation.model),
            "retrieval": json.dumps(conversation.retrieval),
            "metadata": json.dumps(conversation.metadata),
            "created_at": conversation.created_at,
            "updated_at": conversation.updated_at,
            "expires_at": conversation.expires_at or "",
            "lasts": json.dumps(conversation.lasts),
        }
        key, _ = _keys(conversation.id)
        with self._in_words():
            async with self._redis.pipeline(transaction=True) as together:
                together.hset(key, mapping=fields)
                if conversation.expires_at is not None:
                    together.pexpireat(key, _milliseconds(conversation.expires_at))
                together.zadd(_IDS, {conversation.id: 0})
                await together.execute()

    async def get(self, id: str) -> Conversation:
        [found] = await self._read([id])
        if found is None:
            raise not_found(id)
        return found

    async def page(self, limit: int, after: str | None = None) -> list[Conversation]:
        page: list[Conversation] = []
        last = after or BEHIND_ALL
        while len(page) < limit:
            with self._in_words():
                ids = await self._redis.zrevrangebylex(_IDS, f"({last}", "-", start=0, num=limit - len(page))
            if not ids:
                break
            found = await self._read(ids)
            page += [conversation for conversation in found if conversation is not None]
            last = ids[-1]
        return page

    async def delete(self, id: str) -> bool:
        with self._in_words():
            async with self._redis.pipeline(transaction=True) as together:
                together.delete(_keys(id)[0]).delete(_keys(id)[1]).zrem(_IDS, id)
                removed, _, _ = await together.execute()
        return bool(removed)

    async def append(self, id: str, messages: Sequence[Message]) -> None:
        conversation = await self.get(id)
        expires_at = expiry(conversation.expires_at, conversation.lasts)
        until = "" if expires_at is None else _milliseconds(expires_at)
        encoded = [_encode(message) for message in messages]
        arguments = [timestamp(), expires_at or "", until, MOST_MESSAGES, *encoded]
        with self._in_words():
            answer = await self._append(keys=_keys(id), args=arguments)
        if answer == _GONE:
            raise not_found(id)
        if answer == _FULL:
            raise full(id, MOST_MESSAGES)

    async def messages(self, id: str, last: int | None = None) -> list[Message]:
        await self.get(id)
        first = -(MOST_MESSAGES if last is None else last)
        with self._in_words():
            found = await self._redis.lrange(_keys(id)[1], first, -1)
        return [Message(**json.loads(one)) for one in found]

    async def sweep(self) -> int:
        """Redis forgets by itself; what is left of those that it forgot are their ids."""
        gone: list[str] = []
        with self._in_words():
            ids = [id async for id, _ in self._redis.zscan_iter(_IDS)]
            found = await self._read(ids)
            gone = [id for id, conversation in zip(ids, found, strict=True) if conversation is None]
            if gone:
                await self._redis.zrem(_IDS, *gone)
        return len(gone)

    async def _read(self, ids: Sequence[str]) -> list[Conversation | None]:
        with self._in_words():
            async with self._redis.pipeline(transaction=True) as together:
                for id in ids:
                    together.hgetall(_keys(id)[0]).llen(_keys(id)[1])
                found = await together.execute()
        return [
            _conversation(id, fields, messages)
            for id, fields, messages in zip(ids, found[::2], found[1::2], strict=True)
        ]


def _keys(id: str) -> tuple[str, str]:
    return f"embedd:conversation:{id}", f"embedd:conversation:{id}:messages"


def _encode(message: Message) -> str:
    fields = ("id", "role", "content", "created_at", "details")
    return json.dumps({name: getattr(message, name) for name in fields})


def _conversation(id: str, fields: Mapping[str, str], messages: int) -> Conversation | None:
    if not fields:
        return None
    return Conversation(
        id=id,
        title=fields["title"],
        model=json.loads(fields["model"]),
        retrieval=json.loads(fields["retrieval"]),
        metadata=json.loads(fields["metadata"]),
        created_at=fields["created_at"],
        updated_at=fields["updated_at"],
        expires_at=fields["expires_at"] or None,
        lasts=json.loads(fields["lasts"]),
        messages=messages,
    )


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisConversations]:
    """The store in the server at ``url``.

    Raises:
        StorageFailed: it does not answer, or ``url`` is no address of one.
    """
    async with open_redis_server(url) as server:
        yield RedisConversations(server)
