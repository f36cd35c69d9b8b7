"""Turns at jobs that several services share: each works on those that it holds a lease of.

A job is held by one service at a time. The lease is renewed while it is held; of a service that is gone it
ends, and another takes the job up where its receipts say. A job of documents is let go behind every turn, so
that services and collections take turns. One that embeds a collection again is kept until its end, for what
is known of it is in memory.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from api.services.job_queue import COLLECTIONS_AT_ONCE
from api.services.reembed import is_reembedding
from index.catalogs import Leases
from index.errors import StoreError

log = structlog.get_logger()

LOOK_S: Final = 0.5
"""Between two looks for jobs that came to others, or are left behind by them."""

RENEW_S: Final = 2.0


class LeasedQueue:
    """A `JobQueue` over the leases of a catalog."""

    look_again_s: float | None = 0.25

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._held: set[str] = set()
        self._in_turn: set[str] = set()
        # What could not be let go, and for how long nobody should have it: the store was away.
        self._owed: dict[str, float] = {}
        self._turns: asyncio.Queue[str] = asyncio.Queue()
        self._called = asyncio.Event()

    def put(self, job_id: str) -> None:  # noqa: ARG002 - it may not be its turn
        """Look for a job soon; whoever looks first has it."""
        self._called.set()

    async def take(self) -> str:
        while (job_id := await self._turns.get()) not in self._held:
            pass  # it was lost while it waited here
        self._in_turn.add(job_id)
        return job_id

    async def give_back(self, job_id: str, pause_s: float | None) -> None:
        self._in_turn.discard(job_id)
        if pause_s is not None and job_id in self._held and is_reembedding(job_id):
            asyncio.get_running_loop().call_later(pause_s, self._turns.put_nowait, job_id)
            return
        self._held.discard(job_id)
        self._called.set()
        if pause_s is not None:
            await self._release(job_id, pause_s)

    async def work(self, lost: Callable[[str], None]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claim())
            group.create_task(self._renew(lost))

    async def close(self) -> None:
        while self._held:
            await self._release(self._held.pop(), 0.0)

    async def _claim(self) -> None:
        while True:
            self._called.clear()
            try:
                await self._release_owed()
                while self._has_room() and (job_id := await self._leases.claim()) is not None:
                    self._owed.pop(job_id, None)
                    self._held.add(job_id)
                    self._turns.put_nowait(job_id)
            except StoreError as error:
                log.warning("jobs_not_claimed", reason=str(error))
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._called.wait()
            except TimeoutError:
                pass

    def _has_room(self) -> bool:
        """Jobs that embed again do not count: others may have to be done before they can go on."""
        return sum(not is_reembedding(job_id) for job_id in self._held) < COLLECTIONS_AT_ONCE

    async def _renew(self, lost: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            asked = frozenset(self._held)
            try:
                kept = await self._leases.renew(asked) if asked else asked
            except StoreError as error:
                log.warning("leases_not_renewed", reason=str(error))
                continue
            for job_id in (asked - kept) & self._held:
                self._held.discard(job_id)
                lost(job_id)

    async def _release(self, job_id: str, pause_s: float) -> None:
        try:
            await self._leases.release(job_id, pause_s)
        except StoreError as error:  # it is tried again, and the lease ends by itself as well
            log.warning("job_not_released", job=job_id, reason=str(error))
            if job_id not in self._held:  # it was let go all the same, and claimed again meanwhile
                self._owed[job_id] = pause_s

    async def _release_owed(self) -> None:
        for job_id, pause_s in list(self._owed.items()):
            await self._leases.release(job_id, pause_s)
            del self._owed[job_id]
