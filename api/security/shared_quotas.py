"""Quotas that several services grant together, out of one ledger.

A request costs one round trip, in which it takes its one and what the caller owes is paid. Tokens of a
request are paid twice a second, or with the caller's next one. What is in memory is what the ledger said
last; while it cannot be asked, that is all there is and every service grants the whole: quotas keep a service
fair, and who has to be kept out has no key.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from api.security.identity import UNLIMITED, Identity
from api.security.quotas import LocalQuotas, Standing, exceeded
from index.errors import StoreError

log = structlog.get_logger()

_PAY_EVERY_S: Final = 0.5
_ANSWERS_WITHIN_S: Final = 2.0
NO_LIMIT: Final = 1e15
"""Holds more than anybody takes; infinity times no time at all would be no number."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Of a caller's buckets behind a request that was ``admitted``, and has taken its one, or was not."""

    requests: float
    tokens: float
    admitted: bool


class Ledger(Protocol):
    """The buckets of all callers. Both methods may raise StoreError; then nothing was taken."""

    async def take(self, caller: str, requests: float, tokens: float, due: float) -> Levels:
        """Pay ``due`` tokens, and take one request if there is one and tokens are not overdrawn, at once.
        Buckets hold ``requests`` and ``tokens``, ``NO_LIMIT`` where there is none, and fill within a minute.
        """
        ...

    async def pay(self, due: Mapping[str, float]) -> None:
        """Take tokens of callers."""
        ...


class SharedQuotas:
    """`Quotas` over a ledger; ``clock`` gives seconds."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._here = LocalQuotas(clock)
        self._due: defaultdict[str, float] = defaultdict(float)  # tokens that the ledger has not heard of
        self._is_alone = False

    async def admit(self, identity: Identity) -> None:
        if identity.quota == UNLIMITED:
            return
        levels = await self._take(identity)
        if levels is None:
            await self._here.admit(identity)
            return
        requests, tokens = self._here.bucket(identity, "requests"), self._here.bucket(identity, "tokens")
        if requests is not None:
            requests.level = levels.requests
        if tokens is not None:
            tokens.level = levels.tokens - self._due[identity.name]
        if levels.admitted:
            return
        if tokens is not None and tokens.level <= 0:
            raise exceeded("tokens", tokens, tokens.wait_s(1))
        assert requests is not None, "who is not admitted has a limit"
        raise exceeded("requests", requests, requests.wait_s(1))

    def spend(self, identity: Identity, tokens: int) -> None:
        self._here.spend(identity, tokens)
        if identity.quota.tokens_per_minute is not None:
            self._due[identity.name] += tokens

    def standings(self, identity: Identity) -> list[Standing]:
        return self._here.standings(identity)

    async def work(self) -> None:
        """Pay what is owed, until cancelled."""
        while True:
            await asyncio.sleep(_PAY_EVERY_S)
            await self.pay()

    async def pay(self) -> None:
        """Pay all that is owed now; what cannot be paid is owed on."""
        due, self._due = self._due, defaultdict(float)
        try:
            if due:
                async with asyncio.timeout(_ANSWERS_WITHIN_S):
                    await self._ledger.pay(due)
        except (StoreError, TimeoutError) as error:
            self._note(str(error))
            for caller, tokens in due.items():
                self._due[caller] += tokens

    async def _take(self, identity: Identity) -> Levels | None:
        """What the ledger says; None if it does not answer."""
        quota, due = identity.quota, self._due.pop(identity.name, 0.0)
        requests = NO_LIMIT if quota.requests_per_minute is None else quota.requests_per_minute
        tokens = NO_LIMIT if quota.tokens_per_minute is None else quota.tokens_per_minute
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                levels = await self._ledger.take(identity.name, requests, tokens, due)
        except (StoreError, TimeoutError) as error:
            self._due[identity.name] += due
            self._note(str(error))
            return None
        if self._is_alone:
            log.info("quotas_shared_again")
            self._is_alone = False
        return levels

    def _note(self, reason: str) -> None:
        if not self._is_alone:
            log.warning("quotas_not_shared", reason=reason or "no answer in time")
            self._is_alone = True
