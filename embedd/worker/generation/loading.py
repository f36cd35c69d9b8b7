"""From a folder to an engine that is ready, and how much it may remember."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from embedd.errors import ModelLoadError
from embedd.sources import check_weights
from embedd.worker.generation.engine import Engine, describe
from embedd.worker.generation.grammar import Grammars
from embedd.worker.generation.model import Model, Placement
from embedd.worker.generation.scheduler import Limits
from embedd.worker.generation.server import Loaded

_MEMORY_SHARE = {"cpu": 0.25, "cuda": 0.85}
"""Of what is free beside the weights: what keys and values may take unless it is said in tokens."""
_MOST_TOKENS = {"cpu": 65_536, "cuda": 2**24}
_BATCH_TOKENS = {"cpu": 256, "cuda": 8192}
_RUNNING = {"cpu": 64, "cuda": 256}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the worker was started with; None stands for what suits the machine."""

    folder: Path
    sha256: str
    placement: Placement
    threads: int
    kv_tokens: int | None = None
    max_batch_tokens: int | None = None


def load(settings: Settings) -> Loaded:
    """Loads the model and says hello.

    Raises:
        ModelLoadError: there is no model, another one than expected, or one that cannot be served.
    """
    check_weights(settings.folder, settings.sha256)
    torch.set_num_threads(settings.threads)
    model = Model(settings.folder, settings.placement)
    kind = model.device.type
    limits = Limits(
        max_batch_tokens=settings.max_batch_tokens or _BATCH_TOKENS[kind], max_running=_RUNNING[kind]
    )
    engine = Engine(model, _count_pages(model, settings.kv_tokens), limits)
    hello = {**describe(engine, model, limits), "threads": settings.threads}
    return Loaded(engine, Grammars(settings.folder, model.vocab), hello)


def _count_pages(model: Model, kv_tokens: int | None) -> int:
    tokens = kv_tokens or _tokens_that_fit(model)
    pages = tokens // model.page_tokens
    if pages == 0:
        raise ModelLoadError(
            f"{tokens} tokens of keys and values are less than a page of {model.page_tokens}"
        )
    return pages


def _tokens_that_fit(model: Model) -> int:
    kind = model.device.type
    free = _free_memory() if kind == "cpu" else torch.cuda.mem_get_info(model.device)[0]
    return min(_MOST_TOKENS[kind], int(_MEMORY_SHARE[kind] * free) // model.token_bytes)


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
