"""Tasks that live exactly as long as the block, or the call, that owns them."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A group whose tasks end before the block does.

    One error comes out as itself, not wrapped into a group, so that owners can be nested without their
    callers knowing.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) == 1:
            raise errors.exceptions[0] from None
        raise


@asynccontextmanager
async def beside(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs endless ``loops`` beside the block and cancels them when it is left.

    A loop that fails is a bug: it cancels the block and its error is raised from here.
    """
    async with owned_tasks() as group:
        tasks = [group.create_task(loop) for loop in loops]
        yield
        for task in tasks:
            task.cancel()


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is not stopped half way: a caller that is cancelled waits for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.cancelled() or task.exception()  # nobody else will hear of it
        raise
