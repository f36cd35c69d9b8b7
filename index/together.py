"""Works beside each other: for one who waits for all of them, or for as long as a block lasts."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What each gives. The first that fails ends the others, and is raised when they have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Have ``works`` run until this is left, not in the logging context of whoever enters it."""

    async def run() -> None:
        await together(works)

    task = asyncio.create_task(run(), name=name, context=Context())
    try:
        yield
    finally:
        await stop(task)


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel ``task`` and wait for its end; raises what it failed with."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is not stopped half way: a caller that is cancelled waits for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.cancelled() or task.exception()  # nobody else will hear of it
        raise
