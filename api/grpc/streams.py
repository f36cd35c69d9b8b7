"""Streams of requests that are worked on together: answered in their order, as they are done, or by the heap.

Invariant: what is read and not yet answered is bounded, so a client that sends faster than the service works
is held up by its connection, and nobody else is. Whoever leaves ends what is under way for them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

from embedd.ownership import owned_tasks

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")


class _Room:
    """How much may be under way; what is larger than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = size
        self._given = asyncio.Event()

    async def take(self, size: int) -> int:
        taken = min(size, self._size)
        while self._free < taken:
            self._given.clear()
            await self._given.wait()
        self._free -= taken
        return taken

    def give(self, taken: int) -> None:
        self._free += taken
        self._given.set()


async def in_order(
    asked: AsyncIterator[AskedT],
    answer: Callable[[AskedT], Awaitable[AnswerT]],
    size: Callable[[AskedT], int],
    most: int,
) -> AsyncGenerator[AnswerT, None]:
    """The answers in the order in which they were asked for; of ``most`` in ``size`` together at once."""
    room = _Room(most)
    under_way: asyncio.Queue[tuple[asyncio.Task[AnswerT], int] | None] = asyncio.Queue()
    async with owned_tasks() as group:

        async def read() -> None:
            async for one in asked:
                taken = await room.take(size(one))
                under_way.put_nowait((group.create_task(_awaited(answer(one))), taken))
            under_way.put_nowait(None)

        group.create_task(read())
        while (next_one := await under_way.get()) is not None:
            task, taken = next_one
            yield await task
            room.give(taken)


async def as_done(
    asked: AsyncIterator[AskedT], answer: Callable[[AskedT], Awaitable[AnswerT]], most: int
) -> AsyncGenerator[AnswerT, None]:
    """The answers as they are done, ``most`` under way at once."""
    room = _Room(most)
    done: asyncio.Queue[AnswerT | None] = asyncio.Queue()

    async def work(one: AskedT) -> None:
        done.put_nowait(await answer(one))

    async def read() -> None:
        async with owned_tasks() as group:
            async for one in asked:
                await room.take(1)
                group.create_task(work(one))
        done.put_nowait(None)

    async with owned_tasks() as group:
        group.create_task(read())
        while (answered := await done.get()) is not None:
            yield answered
            room.give(1)


async def gathered(asked: AsyncIterator[AskedT], most: int) -> AsyncGenerator[list[AskedT], None]:
    """What has come meanwhile, together, ``most`` at a time: whoever takes it is never told of it twice."""
    waiting: asyncio.Queue[AskedT | None] = asyncio.Queue(maxsize=most)

    async def read() -> None:
        async for one in asked:
            await waiting.put(one)
        await waiting.put(None)

    async with owned_tasks() as group:
        group.create_task(read())
        ended = False
        while not ended:
            came = [await waiting.get()]
            while not waiting.empty():
                came.append(waiting.get_nowait())
            ended = came[-1] is None
            if together := [one for one in came if one is not None]:
                yield together


async def _awaited(answer: Awaitable[AnswerT]) -> AnswerT:
    return await answer
