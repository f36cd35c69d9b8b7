"""How long an event loop does not come round."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BEAT_S = 0.002


@dataclass(slots=True)
class Loop:
    """How long the event loop did not come round, at most, since it was last asked."""

    _longest: float = field(default=0.0)

    async def watch(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(BEAT_S)
            now = time.perf_counter()
            self._longest = max(self._longest, now - last - BEAT_S)
            last = now

    def stall_ms(self) -> float:
        longest, self._longest = self._longest, 0.0
        return 1000 * longest


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Loop]:
    gc.freeze()  # what was imported; a service does so as well, or each collection would walk all of it
    loop = Loop()
    watching = asyncio.create_task(loop.watch())
    try:
        yield loop
    finally:
        watching.cancel()
