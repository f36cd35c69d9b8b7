"""The keys of an identity provider, fetched from where it publishes them (``jwt_jwks_url``).

They are fetched when the service starts, again when they are old, and when a token names one that is not
among them, since a provider may have changed its keys; but not more often than once in a while, whatever
tokens say. Keys that were had are kept while the provider is away. Knows no HTTP.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Final

import structlog

from api.errors import ProviderUnavailable
from api.security.token_keys import TokenKey, parse_key_set
from embedd.ownership import owned_tasks

log = structlog.get_logger()

Fetch = Callable[[str], Awaitable[bytes]]
"""Gives what is at an address; raises OSError if that cannot be had."""

OLD_AFTER_S: Final = 600.0
"""A key that the provider has withdrawn opens nothing after so long, if the provider can be asked."""
PAUSE_S: Final = 15.0
"""Between two times that it is asked."""


class Provider:
    """Made by `open_provider`; ``clock`` gives seconds."""

    def __init__(
        self, url: str, fetch: Fetch, tasks: asyncio.TaskGroup, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._tasks = tasks
        self._clock = clock
        self._keys: dict[str, TokenKey] | None = None
        self._had_at = self._asked_at = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> TokenKey | None:
        """The key of that name; one that is not known is asked for, if that has not just been done.

        Raises:
            ProviderUnavailable: no keys could be had yet.
        """
        if self._clock() - self._had_at > OLD_AFTER_S:
            self.ask()
        if self._keys is None or kid not in self._keys:
            await self._asked()
        if self._keys is None:
            raise ProviderUnavailable(
                "the keys of the identity provider cannot be had, so nobody's token can be verified",
                retry_after_s=PAUSE_S,
            )
        return self._keys.get(kid)

    def ask(self) -> None:
        """Have the keys fetched, beside everything else, unless that has just been done."""
        if self._asking is None and self._clock() - self._asked_at >= PAUSE_S:
            self._asked_at = self._clock()
            # Not in the logging context of the request that comes with an unknown key.
            self._asking = self._tasks.create_task(self._take(), name="keys", context=Context())
            self._asking.add_done_callback(self._forget)

    def stop(self) -> None:
        """Wait for nothing more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _asked(self) -> None:
        """Returns when the keys are as new as they can be."""
        self.ask()
        if self._asking is not None:
            await asyncio.wait([self._asking])

    def _forget(self, _: asyncio.Task[None]) -> None:
        self._asking = None

    async def _take(self) -> None:
        try:
            content = await self._fetch(self._url)
            keys = parse_key_set(content, public=True)
        except (OSError, ValueError) as error:
            log.warning("keys_not_fetched", url=self._url, reason=str(error), kept=len(self._keys or ()))
            return
        if self._keys is None or keys.keys() != self._keys.keys():
            log.info("keys_fetched", url=self._url, keys=sorted(keys))
        self._keys, self._had_at = keys, self._clock()


@asynccontextmanager
async def open_provider(url: str, fetch: Fetch) -> AsyncIterator[Provider]:
    """The keys at ``url``, which may not be there yet."""
    async with owned_tasks() as tasks:
        provider = Provider(url, fetch, tasks)
        provider.ask()
        try:
            yield provider
        finally:
            provider.stop()
