"""What does it cost to be watched?

Services that differ in one thing, in turn with each other in every round: nothing traced, every request
traced, one in ten; spans go to a collector on the same machine. 32 clients of one text each, with the
bundled model, and with a model that costs nothing, where what telemetry takes is most of what there is. And
how long a scrape of /metrics takes, between requests and beside them.
"""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from harness.client import Client, open_client
from harness.load import run_clients, timed
from harness.metrics import percentiles_ms
from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, open_service
from harness.targets import Goal, print_goals
from harness.texts import load_texts

CLIENTS = 32
OFF, ALL, TENTH = "off", "all", "one in ten"
RATIOS = {ALL: "1", TENTH: "0.1"}
MODELS = (MODEL, "fake")


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds, requests of each service in a round (by model), and scrapes."""

    rounds: int
    requests: Mapping[str, int]
    scrapes: int


FULL = Effort(rounds=9, requests={MODEL: 512, "fake": 2048}, scrapes=100)
QUICK = Effort(rounds=3, requests={MODEL: 64, "fake": 512}, scrapes=20)


@contextmanager
def collector() -> Iterator[str]:
    """The address of a collector that takes everything."""
    command = [sys.executable, "-m", "harness.otlp_sink"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent, text=True
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        assert process.stdin is not None
        process.stdin.close()


@asynccontextmanager
async def open_services(model: str, endpoint: str) -> AsyncIterator[dict[str, Client]]:
    """A client of each service, by how it is traced; no cache, so that every text is run."""
    async with AsyncExitStack() as stack:
        clients: dict[str, Client] = {}
        for name in (OFF, *RATIOS):
            settings = {"cache_bytes": "0", "log_format": "json"}
            if name in RATIOS:
                settings |= {"otlp_endpoint": endpoint, "otlp_sample_ratio": RATIOS[name]}
            service = await stack.enter_async_context(open_service(model=model, settings=settings))
            clients[name] = await stack.enter_async_context(open_client(service.url))
        yield clients


async def texts_per_s(client: Client, texts: Sequence[str]) -> float:
    """Texts a second, one each of many requests."""

    async def ask(number: int) -> None:
        await client.embed([texts[number]])

    seconds = await timed(run_clients(ask, clients=CLIENTS, requests=len(texts)))
    return len(texts) / seconds


async def rates(clients: Mapping[str, Client], texts: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Texts a second of each service in each round; who begins changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in clients}
    for client in clients.values():
        await texts_per_s(client, texts[:CLIENTS])
    for number in range(rounds):
        names = list(clients)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            found[name].append(await texts_per_s(clients[name], texts))
    return found


async def scrape_seconds(url: str, scrapes: int) -> list[float]:
    """What each scrape took, to the last byte."""
    async with aiohttp.ClientSession() as session:

        async def scrape() -> None:
            async with session.get(f"{url}/metrics") as response:
                await response.read()

        return [await timed(scrape()) for _ in range(scrapes)]


async def scrapes(texts: Sequence[str], count: int) -> dict[str, dict[str, float]]:
    """Scrapes of a service that has answered requests: alone, and beside more of them."""
    async with open_service(settings={"cache_bytes": "0"}) as service, open_client(service.url) as client:
        await texts_per_s(client, texts)
        alone = await scrape_seconds(service.url, count)
        load = asyncio.create_task(texts_per_s(client, texts))
        beside = await scrape_seconds(service.url, max(5, count // 10))
        await load
    return {"alone": percentiles_ms(alone), "beside 32 clients": percentiles_ms(beside)}


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, effort = machine(), QUICK if options.quick else FULL
    texts = load_texts(options.data, max(effort.requests.values()))
    figures: dict[str, Any] = {"texts_per_s": {}, "kept": {}}
    with collector() as endpoint:
        for model in MODELS:
            async with open_services(model, endpoint) as clients:
                found = await rates(clients, texts[: effort.requests[model]], effort.rounds)
            figures["texts_per_s"][model] = {name: statistics.median(each) for name, each in found.items()}
            figures["kept"][model] = {name: kept(found, name) for name in RATIOS}
    figures["scrape"] = await scrapes(texts[: effort.requests[MODEL]], effort.scrapes)
    goals = [
        Goal(
            "throughput with one request in ten traced", figures["kept"][MODEL][TENTH], "at least", 0.97, "%"
        ),
        Goal("a scrape of /metrics, p99", figures["scrape"]["alone"]["p99_ms"], "at most", 20.0, "ms"),
    ]
    print_figures(figures)
    print_goals(goals)
    figures["goals"] = [goal.as_figure() for goal in goals]
    settings = {"quick": options.quick, "model": MODEL, "clients": CLIENTS, "effort": asdict(effort)}
    write(options.out, figures, settings, before)


def kept(found: Mapping[str, Sequence[float]], name: str) -> float:
    """The share of the untraced rate that is left, as the median over rounds."""
    return statistics.median(one / off for one, off in zip(found[name], found[OFF], strict=True))


def print_figures(figures: Mapping[str, Any]) -> None:
    """The rates by model, and the scrapes."""
    rows = [
        [model, *(f"{rate:.0f}" for rate in each.values())]
        + [f"{share:.1%}" for share in figures["kept"][model].values()]
        for model, each in figures["texts_per_s"].items()
    ]
    print_table("texts/s", ["model", OFF, *RATIOS, *(f"kept, {name}" for name in RATIOS)], rows)
    taken = [[name, *(f"{value:.1f}" for value in each.values())] for name, each in figures["scrape"].items()]
    print_table("a scrape of /metrics", ["", "p50 ms", "p95 ms", "p99 ms"], taken)


if __name__ == "__main__":
    asyncio.run(run(parse_options("telemetry", "What it costs to be watched.")))
