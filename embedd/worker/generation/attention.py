"""Attention over paged keys and values, registered with transformers, whose model code calls it.

Every token sees those of its own request, by the pages that the request lists. Grouped query heads, sliding
windows and soft caps are served; anything else that a model adds to its scores is refused.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import AttentionInterface

from embedd.worker.attention import UnsupportedAttentionError, refuse_added
from embedd.worker.generation import native
from embedd.worker.generation.batch import Batch

_ADDED_TO_SCORES = ("s_aux", "position_bias")

Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Rule:
    """How scores are made: times ``scale``, bounded by ``softcap``, in a ``window``; 0 for neither."""

    scale: float
    softcap: float
    window: int


class PagedCache(Protocol):
    """The keys and values of all layers, and what to do with them."""

    def attend(self, layer: int, parts: Parts, rule: Rule, batch: Batch) -> torch.Tensor:
        """Keeps the new keys and values and gives what each token takes, (tokens, heads, d).

        ``parts``: query, key and value, (heads, tokens, d) each.
        """


class CpuCache:
    """``pages`` pages for each layer, in the processor's memory."""

    def __init__(self, pages: int, dtype: torch.dtype) -> None:
        self._pages = pages
        self._dtype = dtype
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def attend(self, layer: int, parts: Parts, rule: Rule, batch: Batch) -> torch.Tensor:
        heads, _, d = parts[1].shape
        if layer not in self._layers:
            self._layers[layer] = native.new_pages(self._pages, heads, d, self._dtype)
        mixed = native.attend(
            parts,
            self._layers[layer],
            batch.spans,
            scale=rule.scale,
            softcap=rule.softcap,
            window=rule.window,
        )
        return mixed.to(parts[0].dtype)


class PagedAttention:
    """The attention function of one model; ``batch`` and ``cache`` are set before a forward.

    transformers knows it by ``name``, which is its own: the table it stands in is the whole process's.
    """

    batch: Batch
    cache: PagedCache

    def __init__(self) -> None:
        self.name = f"embedd_paged_{id(self):x}"
        AttentionInterface.register(self.name, self)

    def __call__(  # noqa: PLR0917 - the order is transformers'
        self,
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        scaling: float | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Query (1, heads, tokens, d), key and value with as many heads or fewer; (1, tokens, heads, d)."""
        refuse_added(_ADDED_TO_SCORES, attention_mask, options)
        _refuse_unknown(module, key, value, options)
        rule = Rule(
            scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
            softcap=options.get("softcap") or 0.0,
            window=options.get("sliding_window") or 0,
        )
        mixed = self.cache.attend(_layer(module), (query[0], key[0], value[0]), rule, self.batch)
        return mixed[None], None


def _layer(module: torch.nn.Module) -> int:
    layer = getattr(module, "layer_idx", None)
    if not isinstance(layer, int):
        raise UnsupportedAttentionError("the model's attention layers have no numbers")
    return layer


def _refuse_unknown(
    module: torch.nn.Module,
    key: torch.Tensor,
    value: torch.Tensor,
    options: dict[str, Any],
) -> None:
    if key.shape != value.shape:
        raise UnsupportedAttentionError(f"its keys are {key.shape[-1]} long and its values {value.shape[-1]}")
    if not (options.get("is_causal") or getattr(module, "is_causal", True)):
        raise UnsupportedAttentionError("its tokens look ahead")
