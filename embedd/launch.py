"""How the workers of a model are started, and what they and the model's queue may take."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from embedd.replica import WorkerCommand
from embedd.specs import ModelCard, ModelKind, ModelSpec, Weights

WORKER_MODULE = "embedd.worker"


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Batches of at most ``max_batch_tokens`` (more only for a single text; by the device for None); lanes of
    about ``max_waiting_tokens`` each; a worker that needs longer than its time is killed.
    """

    max_batch_tokens: int | None = None
    max_waiting_tokens: int = 262_144
    batch_timeout_s: float = 60.0
    load_timeout_s: float = 300.0
    bulk_patience_s: float = 1.0
    batches_in_flight: int = 2


def worker_commands(
    spec: ModelSpec, weights: Weights, card: ModelCard, limits: ModelLimits, more: Sequence[str]
) -> list[WorkerCommand]:
    """One command for each replica."""
    threads = threads_each(len(spec.devices))
    return [
        WorkerCommand(
            name=spec.name,
            module=WORKER_MODULE,
            args=(*_worker_args(spec, weights, card.kind, device, threads), *more),
            dim=card.dim,
            load_timeout_s=limits.load_timeout_s,
            batch_timeout_s=limits.batch_timeout_s,
            in_flight=limits.batches_in_flight,
            max_batch_tokens=limits.max_batch_tokens,
        )
        for device in spec.devices
    ]


def threads_each(replicas: int) -> int:
    """How many threads each of so many workers computes with, so that together they have the cores."""
    return max(1, len(os.sched_getaffinity(0)) // replicas)


def _worker_args(spec: ModelSpec, weights: Weights, kind: ModelKind, device: str, threads: int) -> list[str]:
    if spec.scheme == "fake":
        return ["--backend", "fake", "--kind", kind]
    args = ["--backend", "sentence-transformers", "--kind", kind, "--folder", str(weights.folder)]
    args += ["--sha256", weights.sha256, "--device", device, "--dtype", spec.dtype]
    return [*args, "--threads", str(threads), *(["--compile"] if spec.compiled else [])]
