"""What do several services behind nginx and HAProxy make of their number, and is anything lost when one goes?

Services that only embed, each with a model of its own that takes the same time for every text, behind the
files of ``deploy``. Through each balancer, over HTTP and gRPC: how evenly requests are spread, how many more
are answered by two and by four services than by one, and how many fail while one is killed and while one is
asked to end, under load. nginx sends no call again that was broken off, so behind it the clients of gRPC do,
by their retry policy; all else is up to the balancers.
"""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from harness.balanced_load import PROTOCOLS, Clients, open_clients
from harness.balancers import PACKAGES, Ports, missing, open_balancer
from harness.options import parse_options
from harness.report import machine, print_table, write
from harness.service import Service, free_port, open_service
from harness.targets import Goal, print_goals
from harness.timed_model import NAME, open_timed_model

SERVICES, QUICK_SERVICES = 4, 2
TEXT_S = 0.06
CLIENTS = 32
BATCH_TOKENS = 200  # a few texts: a model that is never without work answers evenly
WARM_S, LOAD_S, QUICK_LOAD_S = 0.7, 4.0, 1.0
BEFORE_S, BEHIND_S = 0.5, 1.5
SERIES = {"HTTP": "embedd_http_requests", "gRPC": "embedd_grpc_calls"}
WAYS = {"killed": signal.SIGKILL, "asked to end": signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class Replica:
    """A service, and where it listens."""

    service: Service
    ports: Ports


@asynccontextmanager
async def open_replica() -> AsyncIterator[Replica]:
    """A service of models alone, with one of its own."""
    ports = Ports(0, free_port())
    async with open_timed_model(TEXT_S) as address:
        model = f"{NAME}@{address}/v1#max_tokens=256"
        settings = {"grpc_port": str(ports.grpc), "role": "models", "max_batch_tokens": str(BATCH_TOKENS)}
        async with open_service(model=model, settings=settings) as service:
            yield Replica(service, Ports(service.port, ports.grpc))


async def answered(replicas: Sequence[Replica], protocol: str) -> list[int]:
    """How many embeddings each has answered, by its own count."""
    return [await _answered(replica, protocol) for replica in replicas]


async def _answered(replica: Replica, protocol: str) -> int:
    async with (
        aiohttp.ClientSession(replica.service.url) as session,
        session.get("/metrics") as response,
    ):
        families = text_string_to_metric_families(await response.text())
    (family,) = [one for one in families if one.name == SERIES[protocol]]
    asked = [
        one.value
        for one in family.samples
        if one.labels.get("route") == "/v1/embeddings" or one.labels.get("method", "").endswith("/Embed")
    ]
    return round(sum(asked))


def unevenness(counts: Sequence[int]) -> float:
    """How far the busiest is above the mean, as a share of it."""
    return max(counts) * len(counts) / sum(counts) - 1


async def scaled(
    balancer: str, replicas: Sequence[Replica], seconds: float, folder: Path
) -> dict[str, dict[str, Any]]:
    """Requests a second by how many services there are, and how they were spread over all of them."""
    found: dict[str, dict[str, Any]] = {protocol: {"per_s": {}, "failed": 0} for protocol in PROTOCOLS}
    counts = [count for count in (1, 2, 4) if count <= len(replicas)]
    for count in counts:
        some = replicas[:count]
        async with open_balancer(balancer, [one.ports for one in some], folder) as front:
            for protocol in PROTOCOLS:
                before = await answered(some, protocol)
                async with open_clients(protocol, balancer, front) as send:
                    clients = Clients(send, CLIENTS)
                    rate = await clients.for_seconds(seconds, behind_s=WARM_S)
                after = await answered(some, protocol)
                spread = [now - then for now, then in zip(after, before, strict=True)]
                found[protocol]["per_s"][str(count)] = rate
                found[protocol] |= {"spread": spread, "unevenness": unevenness(spread)}
                found[protocol]["failed"] += sum(clients.tally.failed.values())
    return found


async def lost(balancer: str, replicas: Sequence[Replica], way: str, folder: Path) -> dict[str, Any]:
    """What fails while the last of ``replicas`` goes ``way``, by protocol."""
    figures: dict[str, Any] = {}
    async with (
        open_balancer(balancer, [one.ports for one in replicas], folder) as front,
        AsyncExitStack() as stack,
    ):
        running = {
            protocol: Clients(
                await stack.enter_async_context(open_clients(protocol, balancer, front)), CLIENTS // 2
            )
            for protocol in PROTOCOLS
        }
        async with asyncio.TaskGroup() as group:
            for clients in running.values():
                group.create_task(clients.run())
            await asyncio.sleep(BEFORE_S)
            replicas[-1].service.signal(WAYS[way])
            exit_code = await replicas[-1].service.ended()
            await asyncio.sleep(BEHIND_S)
            for clients in running.values():
                clients.stop()
    for protocol, clients in running.items():
        figures[protocol] = {
            "answered": clients.tally.outcomes["ok"],
            "failed": clients.tally.failed,
            "longest_s": max(clients.tally.latencies),
        }
    return figures | {"exit_code": exit_code}


async def measure(balancers: Sequence[str], count: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Everything, by balancer."""
    figures: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(open_replica()) for _ in range(count)]
        for balancer in balancers:
            figures[balancer] = {"scaled": await scaled(balancer, replicas, seconds, folder / balancer)}
            for way in WAYS:
                async with open_replica() as leaving:
                    some = [replicas[0], leaving]
                    figures[balancer][way] = await lost(balancer, some, way, folder / balancer)
    return figures


def rows_of(figures: dict[str, Any]) -> list[list[str]]:
    """A line for each balancer and protocol."""
    rows = []
    for balancer, found in figures.items():
        for protocol, one in found["scaled"].items():
            rates = [f"{rate:.0f}" for rate in one["per_s"].values()]
            gone = [sum(found[way][protocol]["failed"].values()) for way in WAYS]
            spread = " ".join(map(str, one["spread"]))
            rows.append([f"{balancer}, {protocol}", " ".join(rates), spread, *map(str, gone)])
    return rows


def goals_of(figures: dict[str, Any]) -> list[Goal]:
    """What was to be reached."""
    scales = [one for found in figures.values() for one in found["scaled"].values()]
    most = max(scales[0]["per_s"], key=int)
    failed = [
        sum(found[way][protocol]["failed"].values())
        for found in figures.values()
        for way in WAYS
        for protocol in PROTOCOLS
    ]
    return [
        Goal("requests that failed while a service went", sum(failed), "at most", 0),
        Goal("requests that failed otherwise", sum(one["failed"] for one in scales), "at most", 0),
        Goal(
            "two services to one",
            min(one["per_s"]["2"] / one["per_s"]["1"] for one in scales),
            "at least",
            1.8,
        ),
        Goal(
            f"{most} services to one",
            min(one["per_s"][most] / one["per_s"]["1"] for one in scales),
            "at least",
            0.85 * int(most),
        ),
        Goal("the busiest above the mean", max(one["unevenness"] for one in scales), "at most", 0.1, "%"),
        Goal(
            "exit codes other than 0 of those that were asked",
            sum(found["asked to end"]["exit_code"] != 0 for found in figures.values()),
            "at most",
            0,
        ),
    ]


async def main() -> None:
    """Runs the bench."""
    options = parse_options("load", __doc__.partition("\n")[0])
    if lacking := missing():
        print(f"left out, for they are not installed: {', '.join(lacking)} (Debian packages)")
    balancers = [name for name in PACKAGES if shutil.which(name)]
    if not balancers:
        return
    count, seconds = (QUICK_SERVICES, QUICK_LOAD_S) if options.quick else (SERVICES, LOAD_S)
    where = machine()
    with tempfile.TemporaryDirectory(prefix="embedd-bench-") as folder:
        figures: dict[str, Any] = {"balancers": await measure(balancers, count, seconds, Path(folder))}
    columns = [
        "",
        "requests/s with 1, 2, 4 services",
        "requests of each",
        *(f"failed, one {way}" for way in WAYS),
    ]
    print_table(f"{CLIENTS} clients, {1000 * TEXT_S:.0f} ms a text", columns, rows_of(figures["balancers"]))
    goals = goals_of(figures["balancers"])
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {
        "services": count,
        "clients": CLIENTS,
        "text_s": TEXT_S,
        "batch_tokens": BATCH_TOKENS,
        "load_s": seconds,
    }
    write(options.out, figures, settings, where)


if __name__ == "__main__":
    asyncio.run(main())
