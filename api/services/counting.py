"""What an answer took, where its generator does not count tokens itself."""

import asyncio
from collections.abc import Sequence

from api.services.models import Models
from embedd.generators import Usage


class TokenCounter:
    """Counts as the default embedding model does, and words where there is no model."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def usage(self, read: Sequence[str], written: str) -> Usage:
        """The tokens of what was read and written."""
        return await asyncio.to_thread(lambda: Usage(self._count(read), self._count([written])))

    def _count(self, texts: Sequence[str]) -> int:
        embedders = self._models.embedders
        if embedders.default not in embedders.running:
            return sum(len(text.split()) for text in texts)
        return sum(embedders.get().tokenizer.count(texts))
