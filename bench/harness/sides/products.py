"""The floor: the matrix products of the model's linear layers and nothing else, for batches of given sizes.

Each product is made by the faster of two ways: as torch multiplies by itself, and by oneDNN with weights that
it has laid out before.
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.sides.serving import begin, serve

Product = Callable[[Any], Any]

DTYPES = ("float32", "bfloat16")
TRIAL_TOKENS = 1024
TRIALS = 5


class ProductsSide:
    """Random weights in the model's shapes; the values do not matter for the speed."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        import torch  # noqa: PLC0415 - after the process has been kept to its cores

        torch.set_num_threads(len(configuration["cores"]))
        self._torch = torch
        config = json.loads((Path(configuration["folder"]) / "config.json").read_bytes())
        self._shapes = shapes_of(config) * config["num_hidden_layers"]
        self._ways = {dtype: self._faster_way(getattr(torch, dtype)) for dtype in DTYPES}

    def describe(self) -> dict[str, Any]:
        return {dtype: way for dtype, (way, _) in self._ways.items()}

    def run(self, dtype: str, batches: Sequence[int]) -> dict[str, Any]:
        """``batches``: the number of tokens in each."""
        _, products = self._ways[dtype]
        return {"seconds": self._time(products, getattr(self._torch, dtype), batches)}

    def _faster_way(self, dtype: Any) -> tuple[str, list[Product]]:
        ways = {"torch": self._plain(dtype)}
        # oneDNN refuses to lay out bfloat16 for a processor that cannot multiply it.
        if dtype == self._torch.float32 or self._torch.ops.mkldnn._is_mkldnn_bf16_supported():  # noqa: SLF001
            ways["onednn"] = self._laid_out(dtype)
        seconds = {
            way: min(self._time(products, dtype, [TRIAL_TOKENS]) for _ in range(TRIALS))
            for way, products in ways.items()
        }
        best = min(seconds, key=lambda way: seconds[way])
        return best, ways[best]

    def _plain(self, dtype: Any) -> list[Product]:
        weights = [self._torch.randn(shape, dtype=dtype) for shape in self._shapes]
        return [partial(self._torch.nn.functional.linear, weight=weight) for weight in weights]

    def _laid_out(self, dtype: Any) -> list[Product]:
        onednn = self._torch.ops.mkldnn
        random = [self._torch.randn(shape, dtype=dtype) for shape in self._shapes]
        weights = [onednn._reorder_linear_weight(weight, None) for weight in random]  # noqa: SLF001
        return [partial(_multiply, onednn, weight) for weight in weights]

    def _time(self, products: Sequence[Product], dtype: Any, batches: Sequence[int]) -> float:
        widths = {shape[1] for shape in self._shapes}
        inputs = {width: self._torch.randn((max(batches), width), dtype=dtype) for width in widths}
        started = time.perf_counter()
        with self._torch.inference_mode():
            for tokens in batches:
                for (_, width), product in zip(self._shapes, products, strict=True):
                    product(inputs[width][:tokens])
        return time.perf_counter() - started


def _multiply(onednn: Any, weight: Any, inputs: Any) -> Any:
    return onednn._linear_pointwise(inputs, weight, None, "none", [], "")  # noqa: SLF001


def shapes_of(config: dict[str, Any]) -> list[tuple[int, int]]:
    """Of one BERT layer, (outputs, inputs): query, key, value and output, then up and down."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    return [(hidden, hidden)] * 4 + [(wide, hidden), (hidden, wide)]


def main() -> None:
    side = ProductsSide(begin())
    serve({"describe": side.describe, "run": side.run})


if __name__ == "__main__":
    main()
