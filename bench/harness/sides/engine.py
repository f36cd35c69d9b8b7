"""The worker's engine without the service around it: texts tokenised, cut into the scheduler's batches, run.

One batch after the other, in the thread that asks. ``reranking`` runs a cross-encoder of the same shape with
random weights over the same sequences, each taken for a pair.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from embedd.batches import BatchLimits, Forward, cut_batch, look_ahead
from embedd.sources import weights_sha256
from embedd.worker.backend import Backend, Batch
from harness.model import Model
from harness.sides.cross_encoder import write_cross_encoder
from harness.sides.serving import begin, serve

Ids = npt.NDArray[np.int32]
QUERY_TOKENS = 12
"""Of a sequence that is taken for a pair, how many are the query's at most."""


class EngineSide:
    """One engine over the texts of a file."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._texts: list[str] = json.loads(Path(configuration["texts"]).read_bytes())
        self._model = Model.read(Path(configuration["folder"]))
        self._reranks = configuration.get("kind") == "reranking"
        folder = self._model.folder
        if self._reranks:
            folder = write_cross_encoder(folder, Path(configuration["texts"]).with_name("cross-encoder"))
        self._engine = make_engine(folder, configuration)
        self._facts = self._engine.load()
        self._limits = BatchLimits.of_device("cpu")

    def describe(self) -> dict[str, Any]:
        names = ("dtype", "forward", "versions")
        return {name: self._facts[name] for name in names} | {"max_batch_tokens": self._limits.max_tokens}

    def run(self, first: int, count: int) -> dict[str, Any]:
        """Embeds some of the texts; ``seconds`` from the text to the last vector, ``batches`` of lengths."""
        started = time.perf_counter()
        ids = self._tokenize(first, count)
        tokenized = time.perf_counter()
        chunks = cut(list(map(len, ids)), self._limits, self._facts["forward"])
        batch_seconds = self._run_batches(ids, chunks)
        return {
            "seconds": time.perf_counter() - started,
            "tokenize_s": tokenized - started,
            "batch_seconds": batch_seconds,
            "batches": [[len(ids[row]) for row in chunk] for chunk in chunks],
        }

    def save(self, path: str) -> dict[str, Any]:
        np.save(path, self._rows)
        return {}

    def single(self, first: int, count: int) -> dict[str, Any]:
        """The seconds of a forward of each of some texts alone."""
        return {"seconds": [self._time([one]) for one in self._tokenize(first, count)]}

    def differences(self, first: int, count: int) -> dict[str, Any]:
        """How far rows move, at most in any value, when texts are run alone, or together in another order."""
        ids = self._tokenize(first, count)
        self._run_batches(ids, cut(list(map(len, ids)), self._limits, self._facts["forward"]))
        batched = self._rows
        alone = np.stack([self._engine.run(self._batch([one])).rows[0] for one in ids])
        order = np.random.default_rng(0).permutation(len(ids)).tolist()
        permuted = self._engine.run(self._batch([ids[row] for row in order])).rows
        return {
            "alone": float(np.abs(alone - batched).max()),
            "permuted": float(np.abs(permuted - batched[order]).max()),
        }

    def _tokenize(self, first: int, count: int) -> list[Ids]:
        return self._model.tokenize(self._texts[first : first + count])

    def _run_batches(self, ids: Sequence[Ids], chunks: Sequence[Sequence[int]]) -> list[float]:
        """Leaves one row per sequence, in order, and gives the seconds of each batch."""
        rows: dict[int, npt.NDArray[np.float32]] = {}
        seconds = []
        for chunk in chunks:
            started = time.perf_counter()
            output = self._engine.run(self._batch([ids[row] for row in chunk]))
            rows.update(zip(chunk, output.rows, strict=True))
            seconds.append(time.perf_counter() - started)
        self._rows = np.stack([rows[row] for row in range(len(ids))])
        return seconds

    def _time(self, ids: Sequence[Ids]) -> float:
        started = time.perf_counter()
        self._engine.run(self._batch(ids))
        return time.perf_counter() - started

    def _batch(self, ids: Sequence[Ids]) -> Batch:
        seconds = [min(QUERY_TOKENS, len(one) - 1) if self._reranks else -1 for one in ids]
        return Batch(ids, np.array(seconds, dtype=np.int32))


def make_engine(folder: Path, configuration: dict[str, Any]) -> Backend:
    """What a worker of the service would run with these settings."""
    from embedd.worker.encoder import Encoder, Placement  # noqa: PLC0415 - after the cores are set

    placement = Placement(device="cpu", dtype=configuration["dtype"], threads=len(configuration["cores"]))
    return Encoder(folder, weights_sha256(folder), configuration.get("kind", "embedding"), placement)


def cut(lengths: Sequence[int], limits: BatchLimits, forward: Forward) -> list[list[int]]:
    """The indices of each batch when everything waits at once: what the scheduler makes of a backlog."""
    waiting, batches = list(range(len(lengths))), []
    while waiting:
        window = waiting[: look_ahead((lengths[row] for row in waiting), limits, forward)]
        batch = [window[index] for index in cut_batch([lengths[row] for row in window], limits, forward)]
        batches.append(batch)
        gone = set(batch)
        waiting = [row for row in waiting if row not in gone]
    return batches


def main() -> None:
    side = EngineSide(begin())
    steps = ("describe", "run", "save", "single", "differences")
    serve({step: getattr(side, step) for step in steps})


if __name__ == "__main__":
    main()
