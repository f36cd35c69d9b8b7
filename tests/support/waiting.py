"""Waiting for what has to come, without a clock in any test."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what has to come."""
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.01)  # noqa: ASYNC110 - others make it hold, and tell nobody
