"""Quotas that services grant together, out of a PostgreSQL or a Redis."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from redis_server import PROGRAM, redis_server

from api.errors import QuotaExceeded
from api.security.identity import ANONYMOUS, Identity, Quota, Scope
from api.security.redis_quotas import open_redis_quotas
from api.security.shared_quotas import Levels, SharedQuotas
from api.shared.ledger import PostgresLedger
from api.shared.tables import PARTS
from index.errors import StorageFailed
from index.postgres.opening import open_database


@pytest.fixture(params=["postgres", "redis"])
async def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[SharedQuotas, SharedQuotas]]:
    """Of two services."""
    if request.param == "postgres":
        async with open_database(request.getfixturevalue("postgres_url"), PARTS) as database:
            yield SharedQuotas(PostgresLedger(database)), SharedQuotas(PostgresLedger(database))
    elif PROGRAM is None:
        pytest.skip("there is no redis-server; apt installs it")
    else:
        with redis_server(tmp_path_factory.mktemp("redis")) as url:
            async with open_redis_quotas(url) as one, open_redis_quotas(url) as two:
                yield one, two


def caller(requests: int | None = None, tokens: int | None = None, name: str = "caller") -> Identity:
    return Identity(name, Scope.READ.included(), quota=Quota(requests, tokens))


async def test_requests_are_taken_out_of_one_bucket(pair: Any) -> None:
    one, two = pair
    asks = caller(requests=3)
    for quotas in (one, two, one):
        await quotas.admit(asks)
    for quotas in (one, two):
        with pytest.raises(QuotaExceeded) as refused:
            await quotas.admit(asks)
        assert 10 < refused.value.retry_after_s <= 20
        assert quotas.standings(asks)[0].remaining == 0
    await one.admit(caller(requests=3, name="other"))


async def test_tokens_that_one_has_spent_are_missing_at_the_other(pair: Any) -> None:
    one, two = pair
    asks = caller(tokens=100)
    await one.admit(asks)
    one.spend(asks, 60)
    assert one.standings(asks)[0].remaining == 40
    await one.pay()
    await two.admit(asks)
    assert two.standings(asks)[0].remaining == 40
    two.spend(asks, 90)
    with pytest.raises(QuotaExceeded, match="tokens"):
        await two.admit(asks)
    with pytest.raises(QuotaExceeded, match="tokens"):
        await one.admit(asks)


async def test_whoever_has_no_limit_is_asked_for_nothing(pair: Any) -> None:
    for quotas in pair:
        await quotas.admit(ANONYMOUS)
        quotas.spend(ANONYMOUS, 10)
        assert quotas.standings(ANONYMOUS) == []


class Ledger:
    """One that can be away."""

    is_away = False

    def __init__(self) -> None:
        self.paid: list[float] = []

    async def take(self, caller: str, requests: float, tokens: float, due: float) -> Levels:
        await self.pay({caller: due})
        return Levels(requests - 1, tokens, admitted=True)

    async def pay(self, due: Mapping[str, float]) -> None:
        if self.is_away:
            raise StorageFailed("away")
        self.paid += due.values()


async def test_while_nobody_keeps_the_ledger_each_service_grants_for_itself() -> None:
    ledger = Ledger()
    quotas, asks = SharedQuotas(ledger, clock=lambda: 0.0), caller(requests=2)
    ledger.is_away = True
    for _ in range(2):
        await quotas.admit(asks)
    with pytest.raises(QuotaExceeded):
        await quotas.admit(asks)
    ledger.is_away = False
    await quotas.admit(asks)


async def test_what_was_spent_meanwhile_is_paid_when_the_ledger_is_back() -> None:
    ledger = Ledger()
    quotas, asks = SharedQuotas(ledger, clock=lambda: 0.0), caller(tokens=100)
    ledger.is_away = True
    quotas.spend(asks, 7)
    await quotas.pay()
    await quotas.admit(asks)
    quotas.spend(asks, 3)
    ledger.is_away = False
    await quotas.pay()
    await quotas.pay()
    assert ledger.paid == [10]
