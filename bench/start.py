"""How soon does a service answer after it was told to start?

Seconds until ``/healthz`` answers, and until ``/readyz`` does, which waits for gRPC and the model: without a
model, and with the default one, whose worker takes longer to load. And what an interpreter takes that does
nothing but import the two packages that no service of this kind could be without.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from statistics import median

from harness.options import Options, parse_options
from harness.report import machine, print_table, write
from harness.service import MODEL, free_port, open_service
from harness.targets import Goal, print_goals

ROUNDS, QUICK_ROUNDS = 10, 2
WITHOUT = "none"
BARE = "import aiohttp, numpy"


async def run(options: Options) -> None:
    """Runs the bench and reports."""
    before, rounds = machine(), QUICK_ROUNDS if options.quick else ROUNDS
    times: dict[str, list[tuple[float, float]]] = {WITHOUT: [], MODEL: []}
    bare = []
    for _ in range(rounds):
        bare.append(await bare_s())
        for model, taken in times.items():
            settings = {"grpc_port": str(free_port())}
            async with open_service(model=model, settings=settings) as service:
                taken.append((service.alive_after_s, service.ready_after_s))
    figures = {model: summary(taken) for model, taken in times.items()}
    rows = [[model, f"{found['alive_s']:.2f}", f"{found['ready_s']:.2f}"] for model, found in figures.items()]
    print_table("seconds from the start, medians", ["model", "alive", "ready"], rows)
    goals = [Goal("the service process answers", figures[WITHOUT]["alive_s"], "at most", 1.5, "s")]
    print_goals(goals)
    report = {"service": figures, "bare_s": median(bare), "goals": [goal.as_figure() for goal in goals]}
    write(options.out, report, {"quick": options.quick, "rounds": rounds, "bare": BARE}, before)


def summary(taken: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Medians."""
    return {"alive_s": median(alive for alive, _ in taken), "ready_s": median(ready for _, ready in taken)}


async def bare_s() -> float:
    """Seconds that an interpreter takes for ``BARE``."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BARE)
    assert await process.wait() == 0
    return time.perf_counter() - began


if __name__ == "__main__":
    asyncio.run(run(parse_options("start", "Seconds until a service answers.")))
