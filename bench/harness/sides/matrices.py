"""The floor of a decode step: its matrices multiplied once, in the fastest way at hand, and nothing else.

The ways: as torch multiplies by itself; by oneDNN, with weights that it has laid out; by the engine's kernel.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness.sides.serving import begin, serve

Product = Callable[[Any], Any]


class MatricesSide:
    """Random weights in the model's shapes."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        import torch  # noqa: PLC0415 - after the process has been kept to its cores

        from harness.language_models import shapes_of  # noqa: PLC0415

        torch.set_num_threads(len(configuration["cores"]))
        self._torch = torch
        self._dtype = getattr(torch, configuration["dtype"])
        self._shapes = shapes_of(Path(configuration["folder"]))
        self._ways = dict(self._open_ways())

    def run(self, rows: int) -> dict[str, Any]:
        """Seconds of each way for a pass over all matrices."""
        widths = {width for _, width in self._shapes}
        inputs = {width: self._torch.randn(rows, width).to(self._dtype) for width in widths}
        return {"ways": {name: self._time(products, inputs) for name, products in self._ways.items()}}

    def _open_ways(self) -> Any:
        from embedd.worker.generation.native import Panels  # noqa: PLC0415

        weights = [(self._torch.randn(shape) * 0.02).to(self._dtype) for shape in self._shapes]
        linear = self._torch.nn.functional.linear
        yield "torch", [partial(linear, weight=weight) for weight in weights]
        panels = [Panels.lay_out(weight, self._dtype) for weight in weights]
        yield "panels", [partial(one.multiply, bias=None) for one in panels]
        onednn = self._torch.ops.mkldnn
        if self._dtype == self._torch.float32 or onednn._is_mkldnn_bf16_supported():  # noqa: SLF001
            laid = [onednn._reorder_linear_weight(weight, None) for weight in weights]  # noqa: SLF001
            yield "onednn", [partial(_multiply, onednn, weight) for weight in laid]

    def _time(self, products: list[Product], inputs: dict[int, Any]) -> float:
        began = time.perf_counter()
        with self._torch.inference_mode():
            for (_, width), product in zip(self._shapes, products, strict=True):
                product(inputs[width])
        return time.perf_counter() - began


def _multiply(onednn: Any, weight: Any, inputs: Any) -> Any:
    return onednn._linear_pointwise(inputs, weight, None, "none", [], "")  # noqa: SLF001


def main() -> None:
    serve({"run": MatricesSide(begin()).run})


if __name__ == "__main__":
    main()
