"""Two replicas of the service over one PostgreSQL, under writes, when one or the primary is killed."""

import asyncio
import itertools
import random
import signal
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import asyncpg

from harness.replica_writers import PATH, Writers
from harness.service import Service, open_service
from harness.stores import support

WRITERS = 4
_BETWEEN_KILLS_S = (0.2, 1.5)
_BEFORE_A_FAILOVER_S = 3.0
_BEHIND_A_FAILOVER_S = 3.0
_REQUEST_S = 20.0
_STANDBY_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.02
_WITHIN_S = 3_600.0
_IS_SYNCHRONOUS = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'"


@asynccontextmanager
async def open_replica(url: str) -> AsyncIterator[Service]:
    """One that embeds with the model without weights, and keeps everything in the PostgreSQL at ``url``."""
    async with open_service(model="fake", settings={"catalog": url}) as service:
        yield service


@asynccontextmanager
async def open_writers(services: list[Service], seed: int) -> AsyncIterator[Writers]:
    """Clients of these replicas; the collection that they write to is new."""
    timeout = aiohttp.ClientTimeout(total=_REQUEST_S)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        async with session.put(services[0].url + PATH, json={}) as response:
            response.raise_for_status()
        yield Writers(session, [service.url for service in services], seed)


async def kills(count: int) -> dict[str, Any]:
    """One of two replicas is killed at a random moment, so many times; another takes its place."""
    chance, ready_s = random.Random(count), []
    async with AsyncExitStack() as stack:
        server = stack.enter_context(support("postgres_server").postgres_server(durable=True))
        services = [await stack.enter_async_context(open_replica(server.url)) for _ in range(2)]
        writers = await stack.enter_async_context(open_writers(services, count))
        async with asyncio.timeout(_WITHIN_S), asyncio.TaskGroup() as group:
            group.create_task(writers.run(WRITERS))
            for _ in range(count):
                await asyncio.sleep(chance.uniform(*_BETWEEN_KILLS_S))
                victim = services.pop(chance.randrange(2))
                victim.signal(signal.SIGKILL)
                writers.urls.remove(victim.url)
                services.append(await stack.enter_async_context(open_replica(server.url)))
                writers.urls.append(services[-1].url)
                ready_s.append(services[-1].ready_after_s)
            writers.stop()
        found = await writers.check()
    return {"kills": count, "jobs": len(writers.told.jobs), "ready_s": statistics.median(ready_s)} | found


async def failover() -> dict[str, Any]:
    """The primary is killed and its standby promoted; both services go on by the address that names both.

    A commit waits for the standby, so nothing that was acknowledged can be lost. Who notices that a primary
    is gone, and how long that takes, is an operator's; here the standby is promoted at once.
    """
    servers = support("postgres_server")
    async with AsyncExitStack() as stack:
        primary = stack.enter_context(servers.postgres_server(durable=True))
        standby = stack.enter_context(servers.postgres_server(durable=True, primary=primary))
        await _replicate_synchronously(primary.url)
        url = primary.url.replace(f":{primary.port}", f":{primary.port},127.0.0.1:{standby.port}")
        services = [await stack.enter_async_context(open_replica(url)) for _ in range(2)]
        writers = await stack.enter_async_context(open_writers(services, 1))
        async with asyncio.timeout(_WITHIN_S), asyncio.TaskGroup() as group:
            group.create_task(writers.run(WRITERS))
            await asyncio.sleep(_BEFORE_A_FAILOVER_S)
            killed = time.perf_counter()
            await asyncio.to_thread(primary.stop, signal.SIGKILL)
            await _promote(standby.url)
            promoted = time.perf_counter()
            while max(writers.told.moments) < promoted:  # noqa: ASYNC110 - of an acknowledgement there is no event
                await asyncio.sleep(_LOOK_EVERY_S)
            await asyncio.sleep(_BEHIND_A_FAILOVER_S)
            writers.stop()
        found = await writers.check()
    first = next(moment for moment in sorted(writers.told.moments) if moment > promoted)
    gaps = [b - a for a, b in itertools.pairwise(sorted(writers.told.moments))]
    return {
        "promoted_s": promoted - killed,
        "acknowledged_again_s": first - killed,
        "longest_gap_s": max(gaps),
    } | found


async def _replicate_synchronously(url: str) -> None:
    """From now on a commit is answered when the standby has it."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(_STANDBY_WITHIN_S):
            while not await connection.fetchval(_IS_SYNCHRONOUS):  # noqa: ASYNC110 - the server has no event
                await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        await connection.close()


async def _promote(url: str) -> None:
    """Returns when the standby takes writes, which it answers by itself: it has no standby of its own."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_promote(true)")
    finally:
        await connection.close()
