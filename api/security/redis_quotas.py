"""Quotas that several services grant together, in a Redis server: a hash a caller, changed by a script."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from api.redis_server import RedisServer, open_redis_server
from api.security.shared_quotas import Levels, SharedQuotas
from embedd.ownership import beside

# KEYS: a caller. ARGV: what its buckets hold, requests and tokens, and the tokens that are due. A bucket that
# nobody knows is full, and one that nobody uses is full after some minutes, so it is forgotten then.
_TAKE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local kept = redis.call('HMGET', KEYS[1], 'requests', 'tokens', 'at')
local since = now - tonumber(kept[3] or now)
local function level(place)
  local capacity = tonumber(ARGV[place])
  return math.min(capacity, tonumber(kept[place] or capacity) + since * capacity / 60)
end
local requests, tokens = level(1), level(2) - tonumber(ARGV[3])
local admitted = requests >= 1 and tokens > 0
if admitted then requests = requests - 1 end
redis.call('HSET', KEYS[1], 'requests', string.format('%.6f', requests),
  'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 120 + math.ceil(math.max(0, -tokens) * 60 / tonumber(ARGV[2])))
return {tostring(requests), tostring(tokens), admitted and 1 or 0}
"""
_PAY: Final = (
    "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBYFLOAT', KEYS[1], 'tokens', ARGV[1]) end"
)


class RedisLedger:
    """A `Ledger`."""

    def __init__(self, server: RedisServer) -> None:
        self._in_words = server.in_words
        self._redis = server.client
        self._take = server.client.register_script(_TAKE)

    async def take(self, caller: str, requests: float, tokens: float, due: float) -> Levels:
        with self._in_words():
            left, left_tokens, admitted = await self._take(keys=[_key(caller)], args=[requests, tokens, due])
        return Levels(float(left), float(left_tokens), admitted == 1)

    async def pay(self, due: Mapping[str, float]) -> None:
        with self._in_words():
            async with self._redis.pipeline(transaction=True) as together:
                for caller, tokens in due.items():
                    together.eval(_PAY, 1, _key(caller), -tokens)
                await together.execute()


def _key(caller: str) -> str:
    return f"embedd:quota:{caller}"


@asynccontextmanager
async def open_redis_quotas(url: str) -> AsyncIterator[SharedQuotas]:
    """Quotas in the server at ``url``.

    Raises:
        StorageFailed: it does not answer, or ``url`` is no address of one.
    """
    async with open_redis_server(url) as server:
        quotas = SharedQuotas(RedisLedger(server))
        async with beside(quotas.work()):
            yield quotas
