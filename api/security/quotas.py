"""What callers use up, as token buckets: https://en.wikipedia.org/wiki/Token_bucket

A bucket holds what may be used in a minute and fills up evenly. A request takes its one before it runs. What
it will take of a model is not known before, so it has to find the bucket of tokens not empty and pays behind;
who has overdrawn waits for longer.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeVar

from api.errors import QuotaExceeded
from api.security.identity import Identity

T = TypeVar("T")

Unit = Literal["requests", "tokens"]
UNITS: Final[tuple[Unit, ...]] = ("requests", "tokens")

_MINUTE_S: Final = 60.0


@dataclass(slots=True)
class Bucket:
    """``level`` of ``capacity`` at the moment ``at``, in seconds; it is refilled within a minute."""

    capacity: int
    level: float
    at: float

    def refill(self, now: float) -> None:
        added = (now - self.at) * self.capacity / _MINUTE_S
        self.level, self.at = min(self.capacity, self.level + added), now

    def wait_s(self, level: float) -> float:
        """Seconds until it has come to ``level``."""
        return max(0.0, (level - self.level) * _MINUTE_S / self.capacity)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of one limit, and the seconds until all of it is there again."""

    unit: Unit
    limit: int
    remaining: int
    reset_s: float


class Quotas(Protocol):
    """What callers may use."""

    async def admit(self, identity: Identity) -> None:
        """Take one request of the caller's.

        Raises:
            QuotaExceeded: it has none left, or has overdrawn its tokens; nothing was taken.
        """
        ...

    def spend(self, identity: Identity, tokens: int) -> None:
        """Take the tokens that a request of the caller's took."""
        ...

    def standings(self, identity: Identity) -> list[Standing]:
        """What is left of each limit of the caller."""
        ...


async def metered(
    quotas: Quotas, identity: Identity, events: AsyncGenerator[T, None], total_of: Callable[[T], int | None]
) -> AsyncGenerator[T, None]:
    """``events`` of an answer, a token each until one says how many all of them took; so whoever leaves
    before the end has paid, too.
    """
    paid = 0
    async with aclosing(events) as source:
        async for event in source:
            total = total_of(event)
            due = 1 if total is None else max(0, total - paid)
            quotas.spend(identity, due)
            paid += due
            yield event


class LocalQuotas:
    """The buckets of all callers that have limits, in memory: several services each grant the whole of them.
    ``clock`` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, Unit], Bucket] = {}

    async def admit(self, identity: Identity) -> None:
        requests, tokens = self.bucket(identity, "requests"), self.bucket(identity, "tokens")
        if tokens is not None and tokens.level <= 0:
            raise exceeded("tokens", tokens, tokens.wait_s(1))
        if requests is None:
            return
        if requests.level < 1:
            raise exceeded("requests", requests, requests.wait_s(1))
        requests.level -= 1

    def spend(self, identity: Identity, tokens: int) -> None:
        bucket = self.bucket(identity, "tokens")
        if bucket is not None:
            bucket.level -= tokens

    def standings(self, identity: Identity) -> list[Standing]:
        found = []
        for unit in UNITS:
            bucket = self.bucket(identity, unit)
            if bucket is not None:
                reset_s = bucket.wait_s(bucket.capacity)
                found.append(Standing(unit, bucket.capacity, max(0, int(bucket.level)), reset_s))
        return found

    def bucket(self, identity: Identity, unit: Unit) -> Bucket | None:
        """As it is now; None if the caller has no such limit."""
        quota = identity.quota
        limit = quota.requests_per_minute if unit == "requests" else quota.tokens_per_minute
        if limit is None:
            return None
        now, place = self._clock(), (identity.name, unit)
        bucket = self._buckets.get(place)
        if bucket is None or bucket.capacity != limit:
            bucket = self._buckets[place] = Bucket(limit, float(limit), now)
        bucket.refill(now)
        return bucket


def exceeded(unit: Unit, bucket: Bucket, wait_s: float) -> QuotaExceeded:
    return QuotaExceeded(
        f"this key may use {bucket.capacity} {unit} a minute and has used them up", retry_after_s=wait_s
    )
