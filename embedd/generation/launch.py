"""How the workers of a language model are started, and what they and their requests may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embedd.generation.pool import GenerationCommand
from embedd.launch import threads_each
from embedd.specs import ModelSpec, Weights

WORKER_MODULE = "embedd.worker.generation"
FAKE_WORKER_MODULE = "embedd.generation.fake_worker"

WeightFormat = Literal["model", "int8"]


@dataclass(frozen=True, slots=True)
class GenerationLimits:
    """``kv_tokens`` of cache and ``max_batch_tokens`` of a step for each worker, or what it finds right.

    Requests wait ``wait_s`` for a model that is loading, and are refused while more than
    ``max_waiting_tokens`` wait for room. A worker that needs longer than its times is killed. ``template`` is
    the chat template of models that have none, ``weights`` what they are kept in.
    """

    kv_tokens: int | None = None
    max_batch_tokens: int | None = None
    weights: WeightFormat = "model"
    speculate: bool = True
    template: Path | None = None
    max_waiting_tokens: int = 262_144
    wait_s: float = 60.0
    load_timeout_s: float = 600.0
    step_timeout_s: float = 60.0


def generation_commands(
    spec: ModelSpec, weights: Weights, limits: GenerationLimits, more: Sequence[str]
) -> list[GenerationCommand]:
    """One command for each replica."""
    threads = threads_each(len(spec.devices))
    return [
        GenerationCommand(
            name=spec.name,
            module=FAKE_WORKER_MODULE if spec.scheme == "fake" else WORKER_MODULE,
            args=(*_worker_args(spec, weights, limits, device, threads), *more),
            load_timeout_s=limits.load_timeout_s,
            step_timeout_s=limits.step_timeout_s,
        )
        for device in spec.devices
    ]


def _worker_args(
    spec: ModelSpec, weights: Weights, limits: GenerationLimits, device: str, threads: int
) -> list[str]:
    if spec.scheme == "fake":
        return []
    args = ["--folder", str(weights.folder), "--sha256", weights.sha256, "--device", device]
    args += ["--dtype", spec.dtype, "--threads", str(threads)]
    if limits.kv_tokens is not None:
        args += ["--kv-tokens", str(limits.kv_tokens)]
    if limits.max_batch_tokens is not None:
        args += ["--max-batch-tokens", str(limits.max_batch_tokens)]
    return [*args, *(["--weights", limits.weights] if limits.weights != "model" else [])]
