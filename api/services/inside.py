"""The service's own inside, for who looks for a fault: what runs, what waits, what takes memory.

Tells where a task waits, never the values of its variables, which are texts of documents and questions.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

from api.schemas_debug import (
    CollectionMemory,
    Memory,
    ModelQueue,
    ModelQueues,
    ProcessMemory,
    RunningTask,
    RunningTasks,
)
from api.services.models import Models
from api.services.registry import Registry
from embedd.embedder import Embedder, Lane
from embedd.reranker import Reranker
from index.catalogs import Collections
from index.errors import CollectionNotFound

_ROOT = Path(__file__).parents[2]


def running_tasks() -> RunningTasks:
    """Every task of the event loop, and where it waits, from the outside in."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: task.get_name())
    return RunningTasks([_describe(task) for task in tasks])


def model_queues(models: Models) -> ModelQueues:
    """What waits for each model that was opened and has a queue, and who works it off."""
    embedding = [_queue(name, "embedding", one) for name, one in models.embedders.running.items()]
    reranking = [_queue(name, "reranking", one) for name, one in models.rerankers.running.items()]
    return ModelQueues(embedding + reranking)


async def memory(models: Models, catalog: Collections) -> Memory:
    """What the service, its workers and the collections take."""
    kinds: list[Registry[Any]] = [models.embedders, models.rerankers, models.generators]
    running = chain.from_iterable(kind.running.items() for kind in kinds)
    processes = {os.getpid(): "service"} | {pid: name for name, one in running for pid in one.worker_pids}
    sizes = []
    for name in catalog.names():
        with suppress(CollectionNotFound):  # dropped meanwhile
            sizes.append((name, await (await catalog.get(name)).statistics()))
    return Memory(
        [ProcessMemory(pid, role, _resident_bytes(pid)) for pid, role in processes.items()],
        [CollectionMemory(name, each.memory_bytes, each.mapped_bytes) for name, each in sizes],
    )


def _queue(name: str, kind: str, model: Embedder | Reranker) -> ModelQueue:
    waiting = {lane.value: model.waiting_tokens(lane) for lane in Lane}
    return ModelQueue(name, kind, model.status.state, waiting, model.worker_pids)


def _describe(task: "asyncio.Task[Any]") -> RunningTask:
    coroutine = task.get_coro()
    places = [_place(frame) for frame in _frames(coroutine)]
    return RunningTask(task.get_name(), getattr(coroutine, "__qualname__", repr(coroutine)), places)


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Those of a coroutine and of what it awaits, as far as they are written in Python."""
    while awaited is not None:
        for kind in ("cr", "ag", "gi"):
            if (frame := getattr(awaited, f"{kind}_frame", None)) is not None:
                yield frame
                awaited = getattr(awaited, f"{kind}_await" if kind != "gi" else "gi_yieldfrom", None)
                break
        else:
            return


def _place(frame: FrameType) -> str:
    file = Path(frame.f_code.co_filename)
    shown = file.relative_to(_ROOT) if file.is_relative_to(_ROOT) else Path(file.name)
    return f"{shown}:{frame.f_lineno} {frame.f_code.co_qualname}"


def _resident_bytes(pid: int) -> int:
    """0 where the system does not tell, or the process has just ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
