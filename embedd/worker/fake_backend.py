"""The weightless model inside a worker process, and the ways it can be told to misbehave.

``--faults DIR`` is there for tests of what surrounds a model: before each load and each batch the
backend looks into ``DIR`` and does what the files there are named for. Without it nothing ever fails.
"""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedd.errors import ModelLoadError, OutOfMemory
from embedd.fake import FAKE_DIM, fake_score, fake_token_vectors, fake_vectors
from embedd.token_vectors import quantise_tokens
from embedd.worker.backend import Batch, Output


class FakeBackend:
    """``embedd.fake`` behind the interface of a model; as a reranker it scores pairs."""

    def __init__(self, kind: str = "embedding", faults: "Faults | None" = None) -> None:
        self._reranks = kind == "reranking"
        self._faults = faults

    def load(self) -> Mapping[str, Any]:
        if self._faults:
            self._faults.before_load()
        dim = 1 if self._reranks else FAKE_DIM
        return {
            "dim": dim,
            "token_dim": FAKE_DIM,
            "device": "cpu",
            "dtype": "float32",
            "forward": "packed",
            "versions": {},
        }

    def run(self, batch: Batch) -> Output:
        if self._faults:
            self._faults.before_batch(sum(len(one) for one in batch.ids))
        bad = self._faults.bad_rows(len(batch.ids)) if self._faults else []
        return Output(self._rows(batch), bad, [_tokens(batch, row) for row in batch.token_rows])

    def _rows(self, batch: Batch) -> npt.NDArray[np.float32]:
        if not self._reranks:
            return fake_vectors(batch.ids)
        scores = [fake_score(*pair) for pair in zip(batch.ids, batch.seconds, strict=True)]
        return np.array(scores, dtype=np.float32)[:, None]


def _tokens(batch: Batch, row: int) -> npt.NDArray[Any]:
    vectors = fake_token_vectors(batch.ids[row])
    return quantise_tokens(vectors) if batch.token_dtype == "int8" else vectors  # noqa: S105 - no password


class Faults:
    """The faults asked for by files in ``folder``.

    ``load-error``: loading fails. ``crash``: the next batch kills the process, once. ``always-crash``:
    so does every batch. ``raise``: the next batch raises, once. ``hang``: the next batch writes
    ``hanging`` and never ends. ``hold``: batches wait until the file is gone. ``bad``: the first row of
    every batch is reported as not finite. ``memory`` holds how many tokens a batch may have; more
    do not fit. ``batches`` gets a line with the number of tokens per batch.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def before_load(self) -> None:
        if self._asked("load-error"):
            raise ModelLoadError((self._folder / "load-error").read_text())

    def before_batch(self, tokens: int) -> None:
        with (self._folder / "batches").open("a") as log:
            log.write(f"{tokens}\n")
        if self._asked("always-crash") or self._asked_once("crash"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._asked_once("raise"):
            raise RuntimeError("told to raise")
        if self._asked_once("hang"):
            (self._folder / "hanging").touch()
            signal.pause()
        while self._asked("hold"):
            time.sleep(0.002)
        if self._asked("memory") and tokens > int((self._folder / "memory").read_text()):
            raise OutOfMemory(0)

    def bad_rows(self, count: int) -> list[int]:
        return [0] if count and self._asked("bad") else []

    def _asked(self, fault: str) -> bool:
        return (self._folder / fault).exists()

    def _asked_once(self, fault: str) -> bool:
        asked = self._asked(fault)
        (self._folder / fault).unlink(missing_ok=True)
        return asked
