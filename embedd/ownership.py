"""Tasks that live exactly as long as the block, or the call, that owns them, and things that end
behind their last user.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
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


class Users:
    """Counts who uses a thing, so that its owner can wait for the last of them."""

    def __init__(self) -> None:
        self._count = 0
        self._gone = asyncio.Event()
        self._gone.set()

    @contextmanager
    def using(self) -> Iterator[None]:
        """Around all that one user does with it."""
        self._count += 1
        self._gone.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._gone.set()

    async def gone(self) -> None:
        """Returns when nobody uses it."""
        await self._gone.wait()


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is not stopped half way: a caller that is cancelled waits for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.cancelled() or task.exception()  # nobody else will hear of it
        raise
