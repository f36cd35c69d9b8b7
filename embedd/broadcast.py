"""News for all who wait for some: one sends, without knowing who waits."""

import asyncio
import contextlib
import math


class Broadcast:
    """Of one event loop. Whoever waits looks for himself what is new, and before he waits."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def send(self) -> None:
        """Wakes all who wait."""
        self._next.set()
        self._next = asyncio.Event()

    async def received(self, within_s: float = math.inf) -> None:
        """Waits for the next one, or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s if math.isfinite(within_s) else None):
                await self._next.wait()
