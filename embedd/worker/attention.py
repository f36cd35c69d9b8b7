"""Attention over packed sequences: every token sees the tokens of its own sequence and no padding.

Registered with transformers' attention interface, so that the model's own code calls it. Causal models,
sliding windows and grouped query heads are served; anything else a model adds to its scores is refused.

On a GPU one call of ``varlen_attn`` does it all. On a CPU equal lengths are attended together: in float32 by
torch's own kernel, in bfloat16 by two batched products with a float32 softmax between them. The products of
torch's bfloat16 kernel run several times slower than oneDNN's wherever there is no AMX, and a bfloat16
softmax falls back to scalar code at lengths that are no multiple of the vector width (bench/NOTES.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from embedd.worker.layout import Group, Layout

_BLOCK_SCORES = 150_000
"""Scores computed at once: as float32 and again as bfloat16 they stay in a core's second-level cache."""
_FEWEST_QUERIES = 64

_ADDED_TO_SCORES = ("softcap", "s_aux", "position_bias")


class UnsupportedAttentionError(Exception):
    """The model adds something to its attention scores that packed attention does not know."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """Who sees whom, and by how much scores are scaled: ``window`` tokens each way, itself included."""

    causal: bool
    window: int | None
    scale: float

    def mask(self, length: int) -> torch.Tensor | None:
        """Which keys (columns) each query (row) sees; None for all."""
        window = self.window if self.window is not None and self.window < length else None
        if not self.causal and window is None:
            return None
        position = torch.arange(length)
        ahead = position[None] - position[:, None]
        seen = ahead <= 0 if self.causal else torch.ones_like(ahead, dtype=torch.bool)
        return seen if window is None else seen & (ahead.abs() < window)


class PackedAttention:
    """The attention function of one model, in ``dtype``; ``layout`` is set before every forward.

    transformers knows it by ``name``, which is its own: the table it stands in is the whole process's.
    """

    layout: Layout

    def __init__(self) -> None:
        self.dtype = torch.float32
        self.name = f"embedd_packed_{id(self):x}"
        AttentionInterface.register(self.name, self)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # it goes by lengths, which are never the same
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
        _refuse_unknown(attention_mask, options)
        rule = _Rule(
            causal=_is_causal(module, options),
            window=options.get("sliding_window"),
            scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        )
        attend = _attend_on_gpu if query.device.type == "cuda" else _attend_on_cpu
        narrow = [part[0].to(self.dtype) for part in (query, key, value)]
        return attend(narrow[0], narrow[1], narrow[2], rule, self.layout)[None], None


def _attend_on_gpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: _Rule, layout: Layout
) -> torch.Tensor:
    """All (heads, tokens, d) to (tokens, heads, d)."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - needs a build with CUDA

    borders, longest = layout.borders(query.device), layout.lengths[-1]
    back = -1 if rule.window is None else rule.window - 1
    attended = varlen_attn(
        query.transpose(0, 1).contiguous(),
        key.transpose(0, 1).contiguous(),
        value.transpose(0, 1).contiguous(),
        cu_seq_q=borders,
        cu_seq_k=borders,
        max_q=longest,
        max_k=longest,
        scale=rule.scale,
        window_size=(back, 0 if rule.causal else back),
        enable_gqa=len(key) != len(query),
    )
    assert isinstance(attended, torch.Tensor)
    return attended


def _attend_on_cpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: _Rule, layout: Layout
) -> torch.Tensor:
    """All (heads, tokens, d) to (tokens, heads, d), one group of equal lengths after the other."""
    mixed = value.new_empty((query.shape[1], query.shape[0], value.shape[-1]))
    for group in layout.groups:
        parts = (_split(part, group) for part in (query, key, value))
        attended = _attend(*parts, mask=rule.mask(group.length), scale=rule.scale)
        mixed[group.tokens] = attended.transpose(1, 2).flatten(0, 1)
    return mixed


def _refuse_unknown(attention_mask: torch.Tensor | None, options: dict[str, Any]) -> None:
    added = [name for name in _ADDED_TO_SCORES if options.get(name) is not None]
    if attention_mask is not None:
        added.append("attention_mask")
    if added:
        raise UnsupportedAttentionError(f"the model's attention takes {', '.join(added)}")


def _is_causal(module: torch.nn.Module, options: dict[str, Any]) -> bool:
    """By transformers' own rule: what the call says, else what the module says, else yes."""
    asked = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if asked is None else asked)


def _split(heads: torch.Tensor, group: Group) -> torch.Tensor:
    """The group's part of (heads, tokens, d) as (count, heads, length, d)."""
    part = heads[:, group.tokens]
    return part.view(len(heads), group.count, group.length, -1).transpose(0, 1)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """All (count, heads, length, d)."""
    shared = query.shape[1] // key.shape[1]
    if query.dtype == torch.float32:
        return scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale, enable_gqa=shared > 1
        )
    if shared > 1:
        key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
    mixed = _attend_in_blocks(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1), mask, scale)
    return mixed.view(*query.shape[:3], -1)


def _attend_in_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """All (count * heads, length, d), in a narrow type; scores and their softmax in float32."""
    mixed = torch.empty_like(value)
    for sequences, queries in _blocks(*query.shape[:2]):
        scores = torch.bmm(query[sequences, queries], key[sequences].transpose(1, 2)).float().mul_(scale)
        if mask is not None:
            scores.masked_fill_(~mask[queries], float("-inf"))
        mixed[sequences, queries] = torch.bmm(scores.softmax(-1).to(value.dtype), value[sequences])
    return mixed


def _blocks(count: int, length: int) -> Iterator[tuple[slice, slice]]:
    """Several sequences with all their queries, or some queries of one."""
    together = _BLOCK_SCORES // length**2
    if together:
        for first in range(0, count, together):
            yield slice(first, first + together), slice(None)
        return
    step = max(_FEWEST_QUERIES, _BLOCK_SCORES // length)
    for one in range(count):
        for first in range(0, length, step):
            yield slice(one, one + 1), slice(first, first + step)
