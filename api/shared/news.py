"""Hearing of what other services have changed: each looks twice a second at how often that was.

A look is one small statement, and a change is heard of by all within a second. A notification would come
sooner, and be lost with its connection; a look that fails is made again.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from index.postgres.database import Database

LOOK_S: Final = 0.4

Reload = Callable[[], Awaitable[None]]


class News:
    """Tells those who keep something in memory when it has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._topics: dict[str, Reload] = {}
        self._heard: dict[str, int] = {}
        self._looked_at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since all that had changed was known."""
        return time.monotonic() - self._looked_at

    def on_change(self, topic: str, reload: Reload) -> None:
        """Call ``reload`` at the next look, if there was ever anything, and after every change."""
        self._topics[topic] = reload

    async def look(self) -> None:
        """Have what has changed since the last look read again.

        Raises:
            StorageFailed: it is not known what has.
        """
        began = time.monotonic()
        rows = await self._database.fetch("SELECT topic, number FROM news")
        for topic, number in rows:
            if number != self._heard.get(topic) and topic in self._topics:
                await self._topics[topic]()
            self._heard[topic] = number
        self._looked_at = began
