"""How many tokens texts have, where no generator counts them itself."""

import asyncio
from collections.abc import Sequence
from itertools import accumulate

from api.services.models import Models
from embedd.generators import Usage


class TokenCounter:
    """Counts as the default embedding model does, and words where there is no model."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def usage(self, read: Sequence[str], written: str) -> Usage:
        """The tokens of what was read and written."""
        return await asyncio.to_thread(lambda: Usage(self._count(read), self._count([written])))

    async def each(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text."""
        return await asyncio.to_thread(self._each, texts)

    async def fitting(self, texts: Sequence[str], budget: int) -> int:
        """How many of ``texts``, from the first on, have at most ``budget`` tokens together; at least one."""
        fitting = sum(total <= budget for total in accumulate(await self.each(texts)))
        return max(1, fitting)

    def _count(self, texts: Sequence[str]) -> int:
        return sum(self._each(texts))

    def _each(self, texts: Sequence[str]) -> list[int]:
        embedders = self._models.embedders
        if embedders.default not in embedders.running:
            return [len(text.split()) for text in texts]
        return embedders.get().tokenizer.count(texts)
