"""Tasks that live exactly as long as the block that owns them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs endless ``loops`` beside the block and cancels them when it is left.

    A loop that fails is a bug: it cancels the block and its error is raised from here. One error comes
    out as itself, not wrapped into a group, so that owners can be nested without their callers knowing.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise
