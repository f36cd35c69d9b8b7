"""What is asked of a service on a stage, one scenario each, and the figures that come of it."""

import asyncio
import random
import statistics
from dataclasses import dataclass
from typing import Any

from harness.comparison import ratio, take_turns
from harness.corpora import SEED
from harness.stage import Stage, one_by_one, together

CLIENTS = 32
BULK_CLIENTS, BULK_TEXTS = 4, 64
REQUEST_TEXTS = 32
CAPACITY_CLIENTS = 8
OVERLOAD = 10.0
PAUSE_S = 0.03
"""A person's: never two of the interactive client's requests at once."""
PATIENCE_S = 70.0
"""Longer than the service gives a request: what is unanswered by then was forgotten."""
MEMORY_READINGS = 10


class LoadFailed(Exception):
    """A load that any service should bear was not answered."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured; requests are per round."""

    rounds: int
    one_text: int
    queries: int
    bulk_s: float
    capacity_s: float
    overload_s: float
    memory: int
    searches: int
    documents: int
    peers: int


async def one_text_each(stage: Stage, effort: Effort) -> dict[str, Any]:
    """32 clients of one text each against the engine alone, on texts that are new in every round."""
    count = effort.one_text
    target = stage.target("mixed", one_by_one(stage.texts.mixed))

    async def engine(number: int) -> dict[str, Any]:
        return await stage.engine.call("run", first=number * count, count=count)

    async def service(number: int) -> dict[str, Any]:
        return await stage.clients.call(
            "closed", target=target, clients=CLIENTS, first=number * count, requests=count
        )

    measured = await take_turns({"engine": engine, "service": service}, effort.rounds)
    alone = [count / (each["seconds"] - each["tokenize_s"]) for each in measured["engine"]]
    served = [only_answers(each, count) / each["seconds"] for each in measured["service"]]
    batches = [seconds for each in measured["engine"] for seconds in each["batch_seconds"]]
    return {
        "engine_texts_per_s": statistics.median(alone),
        "service_texts_per_s": statistics.median(served),
        "share": ratio(served, alone),
        "latency": measured["service"][-1]["answered"],
        "batch_ms": 1000 * statistics.median(batches),
        "rounds": {"engine": alone, "service": served},
    }


async def one_query(stage: Stage, effort: Effort) -> dict[str, Any]:
    """A single client's queries of 16 tokens against the bare forward of the same ones."""
    count = min(effort.queries, len(stage.texts.queries) // effort.rounds)
    target = stage.target("queries", one_by_one(stage.texts.queries))

    async def forward(number: int) -> float:
        first = len(stage.texts.mixed) + number * count
        times = (await stage.engine.call("single", first=first, count=count))["seconds"]
        return 1000 * float(statistics.median(times))

    async def service(number: int) -> float:
        load = await stage.clients.call(
            "closed", target=target, clients=1, first=number * count, requests=count
        )
        only_answers(load, count)
        return float(load["answered"]["p50_ms"])

    measured = await take_turns({"forward": forward, "service": service}, effort.rounds)
    added = [s - f for s, f in zip(measured["service"], measured["forward"], strict=True)]
    return {
        "forward_ms": statistics.median(measured["forward"]),
        "service_ms": statistics.median(measured["service"]),
        "added_ms": statistics.median(added),
        "rounds": measured,
    }


async def person_beside_bulk(
    stage: Stage, effort: Effort, *, batch_ms: float, forward_ms: float
) -> dict[str, Any]:
    """One client's queries while others keep the bulk lane full: two batches and its own forward may pass."""
    bulk = stage.others.call(
        "closed",
        target=stage.target("bulk", together(stage.texts.mixed, BULK_TEXTS)),
        clients=BULK_CLIENTS,
        seconds=effort.bulk_s,
    )
    person = stage.clients.call(
        "closed",
        target=stage.target("queries", one_by_one(stage.texts.queries)),
        clients=1,
        seconds=effort.bulk_s,
        pause_s=PAUSE_S,
    )
    worked, waited = await asyncio.gather(bulk, person)
    allowed_ms = 2 * batch_ms + forward_ms
    return {
        "bulk_texts_per_s": worked["texts"] / worked["seconds"],
        "queries": waited["statuses"].get("200", 0),
        "latency": waited["answered"],
        "batch_ms": batch_ms,
        "allowed_ms": allowed_ms,
        "p99_to_allowed": waited["answered"]["p99_ms"] / allowed_ms,
    }


async def overload(stage: Stage, effort: Effort) -> dict[str, Any]:
    """Ten times as many requests of 32 texts as can be served; before that, how many can be."""
    target = stage.target("requests", together(stage.texts.mixed, REQUEST_TEXTS))
    full = await stage.clients.call(
        "closed", target=target, clients=CAPACITY_CLIENTS, seconds=effort.capacity_s
    )
    capacity = full["steady_texts_per_s"]
    before = resident(stage)
    offered = await stage.clients.call(
        "open",
        target=target,
        rate=OVERLOAD * capacity / REQUEST_TEXTS,
        seconds=effort.overload_s,
        patience_s=PATIENCE_S,
    )
    goodput = offered["texts"] / offered["seconds"]
    return {
        "capacity_texts_per_s": capacity,
        "offered_requests_per_s": OVERLOAD * capacity / REQUEST_TEXTS,
        "goodput_texts_per_s": goodput,
        "goodput_share": goodput / capacity,
        "statuses": offered["statuses"],
        "answered": offered["answered"],
        "refused": offered["refused"],
        "refused_without_retry_after": offered["refused_without_retry_after"],
        "neither_answered_nor_429": neither(offered),
        "problems": offered["problems"],
        "bytes": {"before": before, "after": resident(stage)},
    }


async def memory_growth(stage: Stage, effort: Effort) -> dict[str, Any]:
    """Resident memory over many requests of one text, nine short ones to one of any length."""
    texts = [*list(stage.texts.queries) * 9, *stage.texts.mixed[: len(stage.texts.queries)]]
    target = stage.target("memory", shuffled(one_by_one(texts)))
    count = effort.memory // MEMORY_READINGS
    readings = []
    for number in range(MEMORY_READINGS):
        load = await stage.clients.call(
            "closed", target=target, clients=CLIENTS, first=number * count, requests=count
        )
        only_answers(load, count)
        readings.append(resident(stage))
    return {
        "requests": count * MEMORY_READINGS,
        "growth": sum(readings[-1].values()) / sum(readings[0].values()) - 1,
        "bytes": readings,
    }


def shuffled(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same each time."""
    return random.Random(SEED).sample(bodies, len(bodies))


def resident(stage: Stage) -> dict[str, int]:
    """Resident bytes of the service and its workers."""
    return {role: sizes["now"] for role, sizes in stage.service.memory().items()}


def only_answers(load: dict[str, Any], requests: int) -> int:
    """Texts that were answered, where every request had to be.

    Raises:
        LoadFailed: one was not.
    """
    if load["statuses"] != {"200": requests}:
        raise LoadFailed(f"{requests} requests were answered with {load['statuses']}: {load['problems']}")
    return int(load["texts"])


def neither(load: dict[str, Any]) -> int:
    """Requests with another answer than vectors or 429, or with none: time-outs among them."""
    others: list[int] = [count for status, count in load["statuses"].items() if status not in {"200", "429"}]
    return sum(others) + int(load["unanswered"])
