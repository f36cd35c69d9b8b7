"""A model with its weights, run on token ids: the torch side of a worker.

Invariants: a row that is not finite is computed once more alone, in float32 by the library's own forward,
before it is given up; a batch that does not fit into memory is halved until it does; what a row comes out
as depends on its own tokens only, up to the rounding of sums.
"""

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedd.collector import without_collector
from embedd.errors import ModelLoadError
from embedd.sources import check_weights
from embedd.token_vectors import quantise_tokens
from embedd.worker.backend import Batch, OutOfMemory, Output
from embedd.worker.parts import cut_parts, threads_within

if TYPE_CHECKING:
    import torch

    from embedd.worker.forward import Forward
    from embedd.worker.models import Kind

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a model runs: ``device`` and ``dtype`` by torch's names or ``auto``, on so many CPU ``threads``."""

    device: str = "auto"
    dtype: str = "auto"
    threads: int = 1
    compile: bool = False


class Encoder:
    """The model in ``folder``, whose weights must have the sum ``sha256``."""

    _forward: "Forward"

    def __init__(self, folder: Path, sha256: str, kind: "Kind", placement: Placement) -> None:
        self._folder = folder
        self._sha256 = sha256
        self._kind = kind
        self._placement = placement
        self._precise: Forward | None = None
        self._threads = ThreadPoolExecutor(placement.threads, thread_name_prefix="part")
        self._parts = 1
        self._weights = 0

    def load(self) -> Mapping[str, Any]:
        with ThreadPoolExecutor(1) as pool, without_collector():
            checked = pool.submit(check_weights, self._folder, self._sha256)  # while the imports run
            _let_threads_sleep()
            import sentence_transformers  # noqa: PLC0415 - most of the start-up time
            import torch  # noqa: PLC0415
            import transformers  # noqa: PLC0415

            _tune_malloc()
            checked.result()
            torch.set_num_threads(1)
            facts = self._make_ready()
        libraries = {
            "torch": torch,
            "sentence-transformers": sentence_transformers,
            "transformers": transformers,
        }
        return {**facts, "versions": {name: library.__version__ for name, library in libraries.items()}}

    def run(self, batch: Batch) -> Output:
        order = sorted(range(len(batch.ids)), key=lambda row: len(batch.ids[row]))
        found = dict(self._compute_in_parts(batch, order))
        suspects = [row for row, result in found.items() if not result.is_finite]
        found |= {row: self._repair(batch, row) for row in suspects}
        return Output(
            rows=np.stack([found[row].vector for row in range(len(batch.ids))]),
            bad=sorted(row for row in suspects if not found[row].is_finite),
            tokens=[_tokens(found[row].states, batch.token_dtype) for row in batch.token_rows],
        )

    def _compute_in_parts(self, batch: Batch, order: Sequence[int]) -> Iterator[tuple[int, "_Row"]]:
        """The results of all rows, on a CPU with the parts of the batch beside each other."""
        lengths = [len(batch.ids[row]) for row in order]
        parts = [order[part] for part in cut_parts(lengths, self._parts)]
        within = threads_within(sum(lengths), self._weights, self._placement.threads // len(parts))

        def compute(rows: Sequence[int]) -> list[tuple[int, _Row]]:
            _use_threads(within)
            return list(self._compute(self._forward, batch, rows))

        results = [compute(parts[0])] if len(parts) == 1 else self._threads.map(compute, parts)
        for result in results:
            yield from result

    def _compute(self, forward: "Forward", batch: Batch, rows: Sequence[int]) -> Iterator[tuple[int, "_Row"]]:
        """The results of ``rows``, sorted by length, in two halves where they do not fit into memory."""
        try:
            results = _results(forward, batch, rows)
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            if len(rows) == 1:
                raise OutOfMemory(
                    f"{len(batch.ids[rows[0]])} tokens need more memory than there is"
                ) from error
            results = None
        if results is not None:
            yield from zip(rows, results, strict=True)
            return
        middle = len(rows) // 2
        yield from self._compute(forward, batch, rows[:middle])
        yield from self._compute(forward, batch, rows[middle:])

    def _repair(self, batch: Batch, row: int) -> "_Row":
        """The row alone and in float32: a neighbour or the narrow type may be what is at fault."""
        if self._precise is None:
            self._precise = self._read_precise()
        [(_, result)] = self._compute(self._precise, batch, [row])
        return result

    def _read_precise(self) -> "Forward":
        """The library's own in float32; where there is no room for a second copy, what there is."""
        from embedd.worker.forward import PaddedForward  # noqa: PLC0415
        from embedd.worker.models import read_model  # noqa: PLC0415

        try:
            return PaddedForward(read_model(self._folder, self._kind, self._placement.device))
        except ModelLoadError:
            return self._forward

    def _make_ready(self) -> Mapping[str, Any]:
        from embedd.worker.forward import check_batch, make_forward  # noqa: PLC0415
        from embedd.worker.linear import count_weights  # noqa: PLC0415
        from embedd.worker.models import read_model  # noqa: PLC0415

        model = read_model(self._folder, self._kind, self._placement.device)
        self._weights = count_weights(model.stack)
        self._parts = self._placement.threads if model.stack.device.type == "cpu" else 1
        self._forward, dtype = make_forward(model, self._placement.dtype, compiled=self._placement.compile)
        ids, seconds = check_batch(model)
        [first, *_] = _results(self._forward, Batch(ids, seconds, token_rows=[0]), range(len(ids)))
        assert first.states is not None
        return {
            "dim": len(first.vector),
            "token_dim": first.states.shape[1],
            "device": str(model.stack.device),
            "threads": self._placement.threads,
            "dtype": str(dtype).removeprefix("torch."),
            "forward": self._forward.name,
            **({"note": self._forward.note} if self._forward.note else {}),
        }


@dataclass(frozen=True, slots=True)
class _Row:
    """``vector`` (dim,), and where wanted the ``states`` (tokens, token_dim) behind it."""

    vector: npt.NDArray[np.float32]
    states: npt.NDArray[np.float32] | None

    @property
    def is_finite(self) -> bool:
        parts = (self.vector,) if self.states is None else (self.vector, self.states)
        return all(np.isfinite(part).all() for part in parts)


def _results(forward: "Forward", batch: Batch, rows: Sequence[int]) -> list[_Row]:
    import torch  # noqa: PLC0415

    wanted = frozenset(batch.token_rows)
    with torch.inference_mode():
        vectors, hidden = forward([batch.ids[row] for row in rows], batch.seconds[list(rows)])
    states = _apart(hidden, batch, rows) if not wanted.isdisjoint(rows) else {}
    return [
        _Row(vector, states.get(row) if row in wanted else None)
        for row, vector in zip(rows, vectors.cpu().numpy(), strict=True)
    ]


def _use_threads(count: int) -> None:
    """What torch's kernels take from here on, in this thread."""
    import torch  # noqa: PLC0415

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def _apart(hidden: "torch.Tensor", batch: Batch, rows: Sequence[int]) -> dict[int, npt.NDArray[np.float32]]:
    borders = np.cumsum([len(batch.ids[row]) for row in rows])[:-1]
    return dict(zip(rows, np.split(hidden.cpu().numpy(), borders), strict=True))


def _tokens(states: npt.NDArray[np.float32] | None, dtype: str) -> npt.NDArray[Any]:
    assert states is not None
    return quantise_tokens(states) if dtype == "int8" else states


def _is_out_of_memory(error: Exception) -> bool:
    """Whether it is torch's own error for GPUs, or says so in words as on a CPU."""
    import torch  # noqa: PLC0415

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _let_threads_sleep() -> None:
    """Makes threads that wait for each other sleep, not spin, unless the environment says otherwise.

    Read by OpenMP when torch is loaded. Beside anything else that wants the cores, the service itself for
    one, spinning made two threads two to six times slower than one (bench/NOTES.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _tune_malloc() -> None:
    """Makes glibc give blocks of 4 MiB and more back to the system, and keep what smaller ones leave.

    Its own threshold grows to 32 MiB with the first large block that is freed. From then on activations
    of ever other sizes break up the heap, which costs 90 MB of 700 and saves no time. Once that threshold is
    set, though, everything above the last block is given back at every chance, and fetched again page by
    page for the next layer: a third of the time (bench/NOTES.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # not on musl or macOS
        mallopt(_M_MMAP_THRESHOLD, 4 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)
