"""The layers of a model that read weights, in the type and the layout that a CPU reads fastest.

A step for one token is bound by reading all weights, so their bytes are what counts; sums are float32. In
float32, and in any type without instructions for it, our kernel multiplies: a token's numbers are then the
same in every batch. bfloat16 with instructions is oneDNN's. Embeddings that are tied to the head share its
weights.
"""

from typing import Any

import torch

from embedd.worker.generation.native import Panels
from embedd.worker.linear import NarrowLinear, PackedLinear, choose_dtype


class PanelLinear(torch.nn.Module):
    """A linear layer by our kernel."""

    def __init__(self, weights: Panels, bias: torch.Tensor | None) -> None:
        super().__init__()
        self._weights = weights
        self._bias = None if bias is None else bias.detach().float()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self._weights.multiply(inputs, self._bias)


class PanelEmbedding(torch.nn.Module):
    """Embeddings out of panels that the head multiplies with as well."""

    def __init__(self, weights: Panels, scale: float) -> None:
        super().__init__()
        self._weights = weights
        self._scale = scale

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        rows = self._weights.rows(ids)
        return rows if self._scale == 1.0 else rows * self._scale


class WideEmbedding(torch.nn.Module):
    """Embeddings in a narrow type, given in float32: the residual begins here."""

    def __init__(self, weight: torch.Tensor, scale: float) -> None:
        super().__init__()
        self._weight = weight.detach()
        self._scale = scale

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        rows = torch.nn.functional.embedding(ids, self._weight).float()
        return rows if self._scale == 1.0 else rows * self._scale


def speed_up(model: Any, dtype: torch.dtype, *, int8: bool) -> None:
    """Replaces the layers of a causal language model on a CPU that read weights, in place."""
    onednn = dtype == torch.bfloat16 and choose_dtype("auto", model.device) == dtype and not int8
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is embedding.weight
    scale = float(getattr(embedding, "embed_scale", 1.0))
    if onednn:
        model.set_output_embeddings(
            NarrowLinear(head, dtype)
        )  # as it lies: laid out anew it would be there twice
        model.set_input_embeddings(WideEmbedding(embedding.weight, scale))
        _replace_linear(model, lambda linear: PackedLinear(linear, dtype))
    else:
        kept = torch.int8 if int8 else dtype
        panels = Panels.lay_out(head.weight.detach(), kept)
        model.set_output_embeddings(PanelLinear(panels, head.bias))
        table = PanelEmbedding(panels, scale) if tied else WideEmbedding(embedding.weight, scale)
        model.set_input_embeddings(table)
        del embedding, head
        _replace_linear(
            model, lambda linear: PanelLinear(Panels.lay_out(linear.weight.detach(), kept), linear.bias)
        )
    model.float()  # norms and what else is left


def _replace_linear(model: torch.nn.Module, replaced: Any) -> None:
    """One after the other, so that no more than one is there twice."""
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                setattr(module, name, replaced(child))
