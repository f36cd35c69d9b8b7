"""Models elsewhere, opened as a service opens them, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from embedd.cache import CacheLimits, open_cache
from embedd.embedder import Embedder
from embedd.remote.dialects import open_http_peer
from embedd.remote.launch import open_remote_engine
from embedd.remote.specs import RemoteLimits, parse_remote
from embedd.reranker import Reranker
from embedd.specs import parse_spec

QUICK = RemoteLimits(
    silence_s=5.0, check_every_s=0.1, check_s=1.0, pause_s=0.02, longest_pause_s=0.1, rest_s=0.1
)
"""For tests: what is asked often costs nothing here."""


@asynccontextmanager
async def open_elsewhere(
    text: str,
    *,
    kind: Any = "embedding",
    key: str = "",
    times: RemoteLimits = QUICK,
    cached: bool = False,
    patience_s: float | None = None,
    limits: Any = None,
) -> AsyncIterator[Any]:
    """The embedder or reranker ``text``; fails with what it waits for after ``patience_s``."""
    spec, remote = parse_spec(text, name="far"), parse_remote(text)
    told: list[str] = []

    def open_peer(url: str) -> Any:
        return open_http_peer("far", remote, kind, url, key=key, limits=times)

    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(open_cache(CacheLimits())) if cached else None
        opening = open_remote_engine(spec, open_peer, limits, times, cache=cache, tell=told.append)
        try:
            async with asyncio.timeout(patience_s):
                engine = await stack.enter_async_context(opening)
        except TimeoutError:
            raise AssertionError(told[-1]) from None
        yield Embedder(engine) if kind == "embedding" else Reranker(engine)
