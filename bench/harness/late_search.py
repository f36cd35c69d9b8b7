"""What late interaction adds to a search whose passages have stored token vectors."""

import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from harness.client import open_client
from harness.comparison import take_turns
from harness.corpora import Corpus
from harness.scenarios import Effort, only_answers
from harness.service import open_service
from harness.side import Side, open_side, usable_cores
from harness.stage import SETTINGS, target_of

COLLECTION = "squad"
PATH = f"/v1/collections/{COLLECTION}/search"
K = 10
WAYS: Mapping[str, Mapping[str, str]] = {"plain": {}, "late": {"rerank": "late"}}
WARM_UP = 8


async def late_search(corpus: Corpus, queries: Sequence[str], effort: Effort, folder: Path) -> dict[str, Any]:
    """The same queries with and without ``rerank: "late"``, one client, all cores for everyone."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(settings=SETTINGS))
        client = await stack.enter_async_context(open_client(service.url))
        load = await stack.enter_async_context(open_side("load", cores=usable_cores()))
        await client.create_collection(COLLECTION, token_vectors="2bit")
        await client.add_documents(COLLECTION, corpus.documents)
        targets = {name: searches(service.port, name, queries, folder) for name in WAYS}
        return await compare(
            load, targets, min(effort.searches, len(queries) // effort.rounds), effort.rounds
        )


def searches(port: int, way: str, queries: Sequence[str], folder: Path) -> dict[str, Any]:
    """The target of one way to search."""
    bodies = [{"query": query, "k": K, **WAYS[way]} for query in queries]
    return target_of(port, PATH, folder / f"search-{way}.json", bodies)


async def compare(
    load: Side, targets: Mapping[str, dict[str, Any]], count: int, rounds: int
) -> dict[str, Any]:
    """Medians over the rounds of the median search, and of what late interaction adds."""
    for target in targets.values():
        await load.call("closed", target=target, clients=1, requests=WARM_UP)

    def search(target: dict[str, Any]) -> Any:
        async def measure(number: int) -> float:
            found = await load.call("closed", target=target, clients=1, first=number * count, requests=count)
            only_answers(found, count)
            return float(found["answered"]["p50_ms"])

        return measure

    measured = await take_turns({name: search(target) for name, target in targets.items()}, rounds)
    added = [late - plain for late, plain in zip(measured["late"], measured["plain"], strict=True)]
    return {
        "plain_ms": statistics.median(measured["plain"]),
        "late_ms": statistics.median(measured["late"]),
        "added_ms": statistics.median(added),
        "rounds": measured,
    }
