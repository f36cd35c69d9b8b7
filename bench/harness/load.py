"""Closed-loop load: each client sends its next request when the last one has been answered."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")


async def run_clients(
    request: Callable[[int], Awaitable[Answer]], *, clients: int, requests: int
) -> list[Answer]:
    """The answers to requests number 0 to ``requests - 1``, in that order, by ``clients`` at a time."""
    numbers = itertools.count()
    answers: dict[int, Answer] = {}

    async def client() -> None:
        while (number := next(numbers)) < requests:
            answers[number] = await request(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(clients, requests)):
            group.create_task(client())
    return [answers[number] for number in range(requests)]


async def timed(request: Awaitable[object]) -> float:
    """Seconds until ``request`` was answered."""
    started = time.perf_counter()
    await request
    return time.perf_counter() - started
