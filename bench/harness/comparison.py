"""Sides measured in turn, and what their times and vectors say: ratios, padding, distances."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Measured = TypeVar("Measured")
Rows = npt.NDArray[np.float32]


async def take_turns(
    sides: Mapping[str, Callable[[int], Awaitable[Measured]]], rounds: int
) -> dict[str, list[Measured]]:
    """What each side measures in each round, all of them in every round, each round begun by another one."""
    names = list(sides)
    measured: dict[str, list[Measured]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            measured[name].append(await sides[name](number))
    return measured


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios of each round: what disturbs a whole round disturbs none of them."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def padding_share(batches: Sequence[Sequence[int]]) -> float:
    """How much of what padded batches of these lengths compute is padding."""
    computed = sum(len(lengths) * max(lengths) for lengths in batches)
    return 1 - sum(map(sum, batches)) / computed


def encode_batches(texts: Sequence[str], lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """The lengths in each batch of sentence-transformers' ``encode``, which sorts by characters."""
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [[lengths[row] for row in chunk] for chunk in chunks]


def cosines(rows: Rows, reference: Rows) -> dict[str, float]:
    """Mean and lowest cosine of corresponding rows (n, dim)."""
    products = (rows.astype(np.float64) * reference).sum(axis=1)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1) * np.linalg.norm(reference, axis=1)
    values = products / norms
    return {"mean": float(values.mean()), "lowest": float(values.min())}


def largest_difference(rows: Rows, reference: Rows) -> float:
    """The largest difference of two values at the same place."""
    return float(np.abs(rows - reference).max())
