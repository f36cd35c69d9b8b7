"""Whether a store elsewhere answers, asked again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from index.errors import StoreError

log = structlog.get_logger()

_ANSWERS_WITHIN_S: Final = 5.0


class StoreWatch:
    """Of the store called ``name``; ``look`` raises what keeps it from answering."""

    def __init__(self, name: str, look: Callable[[], Awaitable[None]], every_s: float) -> None:
        self.name = name
        self._look = look
        self._every_s = every_s
        self.reason = ""
        """Why it cannot be used; empty while it can."""

    async def follow(self) -> None:
        """Look until cancelled; a store that comes back is noticed by itself."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                async with asyncio.timeout(_ANSWERS_WITHIN_S):
                    await self._look()
            except TimeoutError:
                self._note(f"it did not answer within {_ANSWERS_WITHIN_S:.0f} s")
            except StoreError as error:
                self._note(str(error))
            else:
                self._note("")

    def _note(self, reason: str) -> None:
        if bool(reason) != bool(self.reason):
            if reason:
                log.warning("store_lost", store=self.name, reason=reason)
            else:
                log.info("store_back", store=self.name)
        self.reason = reason
