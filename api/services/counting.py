"""What an answer took, where its generator does not count tokens itself."""

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

    async def fitting(self, texts: Sequence[str], budget: int) -> int:
        """How many of ``texts``, from the first on, have at most ``budget`` tokens together; at least one."""
        counts = await asyncio.to_thread(self._counts, texts)
        fitting = sum(total <= budget for total in accumulate(counts))
        return max(1, fitting)

    def _count(self, texts: Sequence[str]) -> int:
        return sum(self._counts(texts))

    def _counts(self, texts: Sequence[str]) -> list[int]:
        embedders = self._models.embedders
        if embedders.default not in embedders.running:
            return [len(text.split()) for text in texts]
        return embedders.get().tokenizer.count(texts)
