"""Whose turn it is: which of the jobs that wait is worked on next, by whom.

The jobs of one collection run one after the other, in the order they came; collections take turns, so one
whose model is away holds up no other.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

COLLECTIONS_AT_ONCE: Final = 2


class JobQueue(Protocol):
    """The jobs that this service may take turns at."""

    look_again_s: float | None
    """Whether jobs may end elsewhere, and then how often to look; None if this service works on all."""

    def put(self, job_id: str) -> None:
        """There is a new job, the last one of its collection."""
        ...

    async def take(self) -> str:
        """The job that has the next turn; nobody else has one of its collection until ``give_back``."""
        ...

    async def give_back(self, job_id: str, pause_s: float | None) -> None:
        """Its turn is over; the next one may begin in so many seconds, None if the job is finished."""
        ...

    async def work(self, lost: Callable[[str], None]) -> None:
        """What must be done beside all that, until cancelled; ``lost`` hears of jobs that were taken away."""
        ...

    async def close(self) -> None:
        """Let others have what is held here."""
        ...


def collection_of(job_id: str) -> str:
    """The collection that a job belongs to; names of collections have no dots."""
    return job_id.rpartition(".")[0]


class LocalQueue:
    """Of a service that has its collections for itself. Made in memory; what it lacks after a restart is put
    there again.
    """

    look_again_s: float | None = None

    def __init__(self) -> None:
        self._jobs: dict[str, deque[str]] = {}  # per collection, oldest first; ids alone, the rest is on disk
        self._turns: asyncio.Queue[str] = asyncio.Queue()  # each collection that has jobs, at most once

    def put(self, job_id: str) -> None:
        name = collection_of(job_id)
        if name not in self._jobs:
            self._jobs[name] = deque()
            self._turns.put_nowait(name)
        self._jobs[name].append(job_id)

    async def take(self) -> str:
        return self._jobs[await self._turns.get()][0]

    async def give_back(self, job_id: str, pause_s: float | None) -> None:
        """The collection goes to the end of the queue, as long as it has jobs."""
        name = collection_of(job_id)
        if pause_s is None:
            self._jobs[name].popleft()
        if self._jobs[name]:
            asyncio.get_running_loop().call_later(pause_s or 0.0, self._turns.put_nowait, name)
        else:
            del self._jobs[name]

    async def work(self, lost: Callable[[str], None]) -> None:
        """Nothing is taken away."""

    async def close(self) -> None:
        """Nobody else is there."""
