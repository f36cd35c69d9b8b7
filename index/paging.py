"""Pages of what comes in the order of its ids, each read while the one before it is worked on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def pages(
    read: Callable[[str | None], Coroutine[Any, Any, list[T]]],
    id_of: Callable[[T], str],
    after: str | None = None,
) -> AsyncGenerator[list[T], None]:
    """What ``read`` gives behind the id ``after``, then behind the last of each page, until it is nothing."""
    reading = asyncio.create_task(read(after))
    try:
        while page := await reading:
            reading = asyncio.create_task(read(id_of(page[-1])))
            yield page
    finally:
        reading.cancel()
        await asyncio.wait([reading])
