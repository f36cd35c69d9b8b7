"""Does writing slow a search down? One client that searches, alone and beside others who write.

A probe asks for next to nothing all the while: how long its slowest answer took is the most that the event
loop can have stood still, for whatever reason, the processor being given to somebody else among them.
"""

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from harness.comparison import ratio, take_turns
from harness.scenarios import only_answers
from harness.service import Service, until_at_rest
from harness.side import Side, open_side, usable_cores
from harness.stage import target_of
from harness.vector_load import adding_bodies, points_path, replacing_bodies, search_bodies, search_path
from harness.vector_peers import Data, Turns

IDLE, REPLACING, ADDING = "idle", "rows replaced", "rows added"
WAYS = (IDLE, REPLACING, ADDING)
# So many vectors a second are written while others search.
WRITTEN_PER_S = 500
POINTS_PER_WRITE = 50
PROBE = "/healthz"
PROBED_EVERY_S = 0.004
PATIENCE_S = 30.0


async def beside_writers(service: Service, data: Data, turns: Turns) -> dict[str, Any]:
    """By what goes on meanwhile: percentiles of a search, and the probe's slowest answer."""
    bodies = {
        REPLACING: replacing_bodies(data.vectors, POINTS_PER_WRITE),
        ADDING: adding_bodies(data.vectors, POINTS_PER_WRITE),
    }
    writes = {
        way: target_of(service.port, points_path(), data.folder / f"{way}.json", some)
        for way, some in bodies.items()
    }
    searches = target_of(
        service.port, search_path(), data.folder / "searches.json", search_bodies(data.questions, "plain")
    )
    probes = target_of(service.port, PROBE, data.folder / "probes.json", [])
    async with AsyncExitStack() as stack:
        writer, prober = [
            await stack.enter_async_context(open_side("load", cores=usable_cores())) for _ in range(2)
        ]

        def watching(way: str) -> Any:
            async def measure(_: int) -> dict[str, Any]:
                await until_at_rest(service.pid)
                seconds = turns.seconds
                async with asyncio.TaskGroup() as group:
                    search = group.create_task(closed(data.load, searches, seconds))
                    probe = group.create_task(closed(prober, probes, seconds, pause_s=PROBED_EVERY_S))
                    if way in writes:
                        group.create_task(write(writer, writes[way], seconds))
                return {"search": search.result(), "stall_ms": probe.result()["longest_ms"]}

            return measure

        measured = await take_turns({way: watching(way) for way in WAYS}, turns.rounds)
    return {way: summary(measured, way) for way in WAYS}


async def closed(load: Side, target: Mapping[str, Any], seconds: float, **options: Any) -> dict[str, Any]:
    return await load.call("closed", target=target, clients=1, seconds=seconds, **options)


async def write(writer: Side, target: Mapping[str, Any], seconds: float) -> None:
    """Writes at its rate, whatever becomes of the writes; all of them have to succeed."""
    rate = WRITTEN_PER_S / POINTS_PER_WRITE
    done = await writer.call("open", target=target, rate=rate, seconds=seconds, patience_s=PATIENCE_S)
    only_answers(done, round(rate * seconds))


def summary(measured: Mapping[str, Sequence[dict[str, Any]]], way: str) -> dict[str, float]:
    """Medians over the rounds; the stall is the longest of all."""
    searches = [each["search"]["answered"] for each in measured[way]]
    idle = [each["search"]["answered"]["p99_ms"] for each in measured[IDLE]]
    return {
        "per_s": statistics.median(
            each["search"]["requests"] / each["search"]["seconds"] for each in measured[way]
        ),
        "p50_ms": statistics.median(each["p50_ms"] for each in searches),
        "p99_ms": statistics.median(each["p99_ms"] for each in searches),
        "p99_to_idle": ratio([each["p99_ms"] for each in searches], idle),
        "longest_stall_ms": max(each["stall_ms"] for each in measured[way]),
        "stalls_ms": [each["stall_ms"] for each in measured[way]],
    }
