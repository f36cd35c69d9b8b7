"""OpenVINO's runtime with bfloat16 inference: the same model converted, batches of 32 sorted by their tokens.

Runs in an environment of its own (``make peers``). With several cores the runtime may work on one batch at
a time with all of them, or on one batch per core: the faster way, tried on the first texts, is taken.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.sides.serving import begin, serve

BATCH_SIZE = 32
TRIAL_TEXTS = 256
Padded = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class OpenvinoSide:
    """The model converted once and compiled for the processor."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - after the cores are set

        self._texts: list[str] = json.loads(Path(configuration["texts"]).read_bytes())
        model = SentenceTransformer(configuration["folder"], device="cpu")
        self._tokenizer, self._max_tokens = model.tokenizer, model.max_seq_length
        self._converted = convert(model)
        self._cores = len(configuration["cores"])
        self._choose_streams()

    def describe(self) -> dict[str, Any]:
        from importlib import metadata  # noqa: PLC0415

        names = ("openvino", "torch", "transformers", "sentence-transformers")
        return {
            "dtype": str(self._compiled.get_property("INFERENCE_PRECISION_HINT")),
            "streams": self._streams,
            "versions": {name: metadata.version(name) for name in names},
        }

    def run(self, first: int, count: int) -> dict[str, Any]:
        started = time.perf_counter()
        ids = self._tokenize(self._texts[first : first + count])
        tokenized = time.perf_counter()
        self._vectors, batches = self._embed(ids)
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokenize_s": tokenized - started, "batches": batches}

    def save(self, path: str) -> dict[str, Any]:
        np.save(path, self._vectors)
        return {}

    def _choose_streams(self) -> None:
        ids = self._tokenize(self._texts[:TRIAL_TEXTS])
        seconds: dict[int, float] = {}
        for streams in sorted({1, self._cores}) * 2:  # the first time of each warms up
            self._compile(streams)
            started = time.perf_counter()
            self._embed(ids)
            seconds[streams] = time.perf_counter() - started
        self._compile(min(seconds, key=lambda streams: seconds[streams]))

    def _compile(self, streams: int) -> None:
        import openvino  # type: ignore[import-not-found]  # noqa: PLC0415 - only in the peer's environment

        self._streams = streams
        hints = {"INFERENCE_PRECISION_HINT": "bf16", "NUM_STREAMS": streams}
        threads = {"INFERENCE_NUM_THREADS": self._cores}
        self._compiled = openvino.Core().compile_model(self._converted, "CPU", hints | threads)
        self._queue = openvino.AsyncInferQueue(self._compiled, streams)

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        encoded = self._tokenizer(texts, truncation=True, max_length=self._max_tokens)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def _embed(self, ids: list[list[int]]) -> tuple[npt.NDArray[np.float32], list[list[int]]]:
        """One row per text, in order, and the lengths in each batch."""
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        chunks = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
        rows: dict[int, npt.NDArray[np.float32]] = {}
        self._queue.set_callback(
            lambda request, rows_of: rows.update(
                zip(rows_of, request.get_output_tensor(0).data.copy(), strict=True)
            )
        )
        for chunk in chunks:
            self._queue.start_async(pad([ids[row] for row in chunk]), chunk)
        self._queue.wait_all()
        lengths = [[len(ids[row]) for row in chunk] for chunk in chunks]
        return np.stack([rows[row] for row in range(len(ids))]), lengths


def convert(model: Any) -> Any:
    """The whole model, from ids and mask to unit vectors, as OpenVINO's graph."""
    import openvino  # noqa: PLC0415
    import torch  # noqa: PLC0415

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            for module in self.model:
                features = module(features)
            return features["sentence_embedding"]

    ids = torch.randint(5, 1000, (3, 17))
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0
    example = {"input_ids": ids, "attention_mask": mask}
    with torch.no_grad():
        return openvino.convert_model(Whole().eval(), example_input=example)


def pad(ids: list[list[int]]) -> Padded:
    """Ids and mask (n, longest)."""
    lengths = np.array([len(one) for one in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    tokens = np.zeros(mask.shape, dtype=np.int64)
    tokens[mask] = np.concatenate(ids)
    return tokens, mask.astype(np.int64)


def main() -> None:
    side = OpenvinoSide(begin())
    serve({"describe": side.describe, "run": side.run, "save": side.save})


if __name__ == "__main__":
    main()
