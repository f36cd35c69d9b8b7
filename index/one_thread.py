"""One thread that carries out what it is given, in that order.

Handing work to a thread costs what waking it costs, and handing the outcome back costs as much. The executors
of the standard library take locks of their own besides, on both ways. What a search needs is done here in one
go, so that it crosses over once.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

_Given: TypeAlias = tuple[Callable[[], Any], asyncio.Future[Any]]


class ThreadClosed(Exception):
    """The thread takes no more work."""


class OneThread:
    """Made without its thread, which starts with the first work; ``close`` ends it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._given: SimpleQueue[_Given | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` gives or raises.

        Raises:
            ThreadClosed: it is.
        """
        if self._closed:
            raise ThreadClosed(f"the thread {self._name!r} is closed")
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
            self._thread.start()
        answer: asyncio.Future[T] = loop.create_future()
        self._given.put((work, answer))
        return await answer

    async def close(self) -> None:
        """Carry out what was given before, and end the thread."""
        self._closed = True
        if self._thread is not None:
            self._given.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        # Each outcome goes back at once: a loop that waits for several has nothing to do meanwhile.
        while (given := self._given.get()) is not None:
            work, answer = given
            loop.call_soon_threadsafe(_tell, answer, _outcome(work))


def _outcome(work: Callable[[], T]) -> T | Exception:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whoever waits gets it, and the thread goes on
        return error


def _tell(answer: asyncio.Future[Any], outcome: Any) -> None:
    if answer.done():
        return  # whoever asked has left
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
