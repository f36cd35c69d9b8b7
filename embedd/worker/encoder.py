"""A sentence-transformers model that runs on token ids.

The model's own modules do the work (transformer, pooling, dense, normalisation); only tokenising and
batching are left to the service. Runs in fp32.
"""

import ctypes
import gc
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedd.errors import ModelLoadError
from embedd.sources import check_weights
from embedd.worker.backend import Batch, Output

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


_M_MMAP_THRESHOLD = -3  # malloc.h


class Encoder:
    """The model in ``folder``, whose weights must have the sum ``sha256``."""

    def __init__(self, folder: Path, sha256: str, *, device: str, threads: int) -> None:
        self._folder = folder
        self._sha256 = sha256
        self._device = device
        self._threads = threads
        self._model: SentenceTransformer

    def load(self) -> Mapping[str, Any]:
        with ThreadPoolExecutor(1) as pool, _without_collector():
            checked = pool.submit(check_weights, self._folder, self._sha256)  # while the imports run
            import sentence_transformers  # noqa: PLC0415 - most of the start-up time
            import torch  # noqa: PLC0415

            _give_back_large_blocks()
            checked.result()
            torch.set_num_threads(self._threads)
            self._model = self._read_model()
        return {
            "dim": self._forward([np.array([0], dtype=np.int32)]).shape[1],
            "device": str(self._model.device),
            "versions": {
                "torch": torch.__version__,
                "sentence-transformers": sentence_transformers.__version__,
            },
        }

    def run(self, batch: Batch) -> Output:
        vectors = self._forward(batch.ids)
        bad = [int(row) for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1))]
        for row in bad:  # perhaps a neighbour in the batch is at fault
            vectors[row] = self._forward([batch.ids[row]])[0]
        return Output(vectors, [row for row in bad if not np.isfinite(vectors[row]).all()])

    def _read_model(self) -> "SentenceTransformer":
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
        from transformers.utils import logging  # noqa: PLC0415

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        device = None if self._device == "auto" else self._device
        try:
            model = SentenceTransformer(str(self._folder), device=device, local_files_only=True)
        except Exception as error:  # whatever the libraries raise for files they cannot use
            raise ModelLoadError(f"{self._folder} cannot be loaded: {error}") from error
        return model.float().eval()

    def _forward(self, ids: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.float32]:
        import torch  # noqa: PLC0415

        tokens, mask = pad(ids, self._pad_id)
        features = {
            "input_ids": torch.from_numpy(tokens).to(self._model.device),
            "attention_mask": torch.from_numpy(mask).to(self._model.device),
        }
        with torch.inference_mode():
            for module in self._model:  # the model's own call does the same, and 0.3 ms of housekeeping
                features = module(features)
        vectors = features["sentence_embedding"]
        return np.asarray(vectors.float().cpu().numpy(), dtype=np.float32)

    @property
    def _pad_id(self) -> int:
        return int(self._model.tokenizer.pad_token_id or 0)


def pad(
    ids: Sequence[npt.NDArray[np.int32]], pad_id: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sequences as one matrix (n, longest) of tokens and one of the same shape with 1 where they are real.

    Padding goes to the right whatever side the tokenizer prefers: no token's position then depends on
    its neighbours in the batch, and pooling by the last token goes by the mask.
    """
    lengths = np.array([len(one) for one in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.full(mask.shape, pad_id, dtype=np.int64)
    tokens[mask] = np.concatenate(ids)
    return tokens, mask.astype(np.int64)


def _give_back_large_blocks() -> None:
    """Makes glibc give freed blocks of 4 MiB and more back to the system, where glibc is what there is.

    Its own threshold grows to 32 MiB with the first large block that is freed. From then on activations
    of ever other sizes break up the heap, which costs 90 MB of 700 and saves no time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 4 * 2**20)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Imports and loads without the cyclic garbage collector, which would walk a million new and lasting
    objects again and again: 0.6 s of 3.5. What is there afterwards is never looked at again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
