"""One thread that carries out what it is given, in that order, and tells the event loop.

Handing work over costs what waking a thread costs, and so does each outcome that is handed back. So outcomes
of works that waited together go back together: the busier it is, the fewer wake-ups a work costs.
``ThreadPoolExecutor`` wakes somebody for each, and takes three locks on the way.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

Outcome: TypeAlias = tuple[asyncio.Future[Any], Any]
"""Who waits, and what for: a value, or an exception to be raised there."""
Work: TypeAlias = Callable[[], Iterable[Outcome]]

# Outcomes go back at the latest when there are so many, so that the first does not wait for long.
_MOST_AT_ONCE: Final = 8


class OneThread:
    """Made without its thread, which starts with the first work; ``close`` ends it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._works: SimpleQueue[Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def post(self, work: Work) -> None:
        """Carry ``work`` out, which raises nothing and says whom to tell what.

        Raises:
            RuntimeError: it is closed.
        """
        if self._closed:
            raise RuntimeError(f"the thread {self._name!r} is closed")
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
            self._thread.start()
        self._works.put(work)

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` gives or raises.

        Raises:
            RuntimeError: it is closed.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.post(lambda: ((answer, outcome_of(work)),))
        return await answer

    async def close(self) -> None:
        """Carry out what was given before, and end the thread."""
        self._closed = True
        if self._thread is not None:
            self._works.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        outcomes: list[Outcome] = []
        while (work := self._works.get()) is not None:
            outcomes += work()
            if outcomes and (len(outcomes) >= _MOST_AT_ONCE or self._works.empty()):
                loop.call_soon_threadsafe(_tell, outcomes)
                outcomes = []
        if outcomes:
            loop.call_soon_threadsafe(_tell, outcomes)


def outcome_of(work: Callable[[], T]) -> T | Exception:
    """What it gives, or the exception that it raises."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whoever waits gets it, and the thread goes on
        return error


def _tell(outcomes: Iterable[Outcome]) -> None:
    for answer, outcome in outcomes:
        if answer.done():
            continue  # whoever asked has left
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
