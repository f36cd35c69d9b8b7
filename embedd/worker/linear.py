"""The linear layers of a model in the precision and the memory layout that the processor multiplies fastest.

Only the layers of the stack are changed, those that see every token; embeddings, norms, pooling and heads
stay in float32. Activations enter in any precision and leave in the layer's own; the residual they are
added to is float32, and so is the sum.
"""

from typing import Final

import torch

from embedd.worker.layout import round_rows

_UNFUSED: Final = ("none", (), "")
"""No activation is fused behind the product: in bfloat16 that saves nothing (bench/NOTES.md)."""


def choose_dtype(asked: str, device: torch.device) -> torch.dtype:
    """``asked``, or for ``auto`` the precision in which ``device`` multiplies fastest.

    bfloat16 on GPUs and CPUs that have instructions for it, float32 elsewhere: half precision that is
    emulated is many times slower.
    """
    if asked != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[asked]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and (
        torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001
    ):
        return torch.bfloat16
    return torch.float32


class PackedLinear(torch.nn.Module):
    """A linear layer on a CPU through oneDNN, its weights laid out once and not at every call.

    In float32 too: the product torch takes otherwise runs at half the speed or less on processors that are
    not of its library's maker.
    """

    def __init__(self, linear: torch.nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        weight = linear.weight.detach().to(dtype)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)  # noqa: SLF001
        self._bias = _narrowed(linear.bias, dtype)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        narrow = inputs if inputs.dtype == self._dtype else inputs.to(self._dtype)
        rows = inputs.numel() // inputs.shape[-1]
        if more := round_rows(rows) - rows:
            filled = torch.nn.functional.pad(narrow.flatten(0, -2), (0, 0, 0, more))
            return self._multiplied(filled)[:rows].view(*inputs.shape[:-1], -1)
        return self._multiplied(
            narrow
        )  # a forward that is packed has its rows filled up: no views, no copies

    def _multiplied(self, rows: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001
            rows, self._weight, self._bias, *_UNFUSED
        )
        return product


class NarrowLinear(torch.nn.Module):
    """A linear layer in a narrower type than its inputs."""

    def __init__(self, linear: torch.nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self._weight = linear.weight.detach().to(dtype)
        self._bias = _narrowed(linear.bias, dtype)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(inputs.to(self._weight.dtype), self._weight, self._bias)


def count_weights(stack: torch.nn.Module) -> int:
    """How many weights of linear layers every token meets."""
    return sum(
        module.weight.numel()
        for path, module in stack.named_modules()
        if isinstance(module, torch.nn.Linear) and _in_a_list(path)
    )


def speed_up(stack: torch.nn.Module, dtype: torch.dtype, *, laid_out: bool) -> None:
    """Replaces the linear layers of ``stack``'s layers, in place; ``laid_out`` for a CPU, by oneDNN."""
    laid_out = laid_out and _can_be_laid_out(dtype)
    if dtype == torch.float32 and not laid_out:
        return
    for path, module in list(stack.named_modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear and _in_a_list(f"{path}.{name}"):
                setattr(module, name, PackedLinear(child, dtype) if laid_out else NarrowLinear(child, dtype))


def _can_be_laid_out(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies this type on this processor; torch's own product takes any type on any."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())  # noqa: SLF001
    return True


def _in_a_list(path: str) -> bool:
    """Whether a module stands in one of the lists that stacks keep their layers in."""
    return any(part.isdigit() for part in path.split("."))


def _narrowed(bias: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    return None if bias is None else bias.detach().to(dtype)
