"""sentence-transformers' ``encode()`` as it comes: float32, batches of 32, sorted by their characters."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.sides.serving import begin, serve

BATCH_SIZE = 32


class EncodeSide:
    """The yardstick of every ratio, and with float32 the reference for every vector."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        import torch  # noqa: PLC0415 - after the process has been kept to its cores
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        self._model = SentenceTransformer(configuration["folder"], device="cpu")
        self._texts: list[str] = json.loads(Path(configuration["texts"]).read_bytes())
        self._threads = torch.get_num_threads()

    def describe(self) -> dict[str, Any]:
        return {"threads": self._threads, "dtype": "float32"}

    def run(self, first: int, count: int) -> dict[str, Any]:
        started = time.perf_counter()
        self._vectors = self._encode(self._texts[first : first + count])
        return {"seconds": time.perf_counter() - started}

    def save(self, path: str) -> dict[str, Any]:
        np.save(path, self._vectors)
        return {}

    def _encode(self, texts: list[str]) -> Any:
        return self._model.encode(texts, batch_size=BATCH_SIZE, show_progress_bar=False)


def main() -> None:
    side = EncodeSide(begin())
    serve({"describe": side.describe, "run": side.run, "save": side.save})


if __name__ == "__main__":
    main()
