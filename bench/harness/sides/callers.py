"""Closed-loop clients in threads, for peers whose own client blocks. Nothing that a peer may lack."""

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.metrics import percentiles_ms


def run_callers(
    ask: Callable[[int], object], *, clients: int, seconds: float, first: int = 0
) -> dict[str, Any]:
    """Requests number ``first`` and on, each client's next one when its last has been answered.

    None begins after ``seconds``; ``requests`` are those answered by then. Raises what a client raised.
    """
    numbers = itertools.count(first)
    finished: list[tuple[float, float]] = []
    failures: list[BaseException] = []
    began = time.perf_counter()

    def client() -> None:
        try:
            while (started := time.perf_counter()) - began < seconds and not failures:
                ask(next(numbers))
                ended = time.perf_counter()
                finished.append((ended - began, ended - started))
        except BaseException as error:  # noqa: BLE001 - it is raised again by the one who waits
            failures.append(error)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return summary(finished, seconds)


def summary(finished: Sequence[tuple[float, float]], seconds: float) -> dict[str, Any]:
    """Of moments at which answers came, from the beginning on, and of how long each took."""
    times: Mapping[str, float] = percentiles_ms([took for _, took in finished])
    return {"requests": sum(at <= seconds for at, _ in finished), "seconds": seconds, "answered": dict(times)}
