"""A Redis server, for those who keep something there: open while they use it, its errors in words.

Imported by none but them, since redis-py is an extra.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from index.errors import StorageFailed

try:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError
except ImportError as error:
    raise StorageFailed(
        "what is kept in Redis needs the extra 'redis': pip install 'embedd[redis]'"
    ) from error

_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class RedisServer:
    """Made by `open_redis_server`; ``client`` speaks to it, ``where`` is its name without a password."""

    client: Any  # its methods are typed for two clients at once
    where: str

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Inside, what the server or the way to it does not allow is a ``StorageFailed``."""
        try:
            yield
        except (RedisError, OSError) as error:
            raise StorageFailed(f"the Redis server at {self.where} refused: {error}") from error


@asynccontextmanager
async def open_redis_server(url: str) -> AsyncIterator[RedisServer]:
    """The server at ``url``, which has answered once.

    Raises:
        StorageFailed: it does not answer, or ``url`` is no address of one.
    """
    where = urlsplit(url).hostname or urlsplit(url).path  # a URL may have a password
    try:
        client: Any = Redis.from_url(url, decode_responses=True, socket_timeout=_TIMEOUT_S)
    except ValueError as error:
        raise StorageFailed(f"nothing can be kept in Redis at {where!r}: {error}") from error
    async with client:
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise StorageFailed(f"the Redis server at {where} does not answer: {error}") from error
        yield RedisServer(client, where)
