"""Attention over packed sequences: every token sees the tokens of its own sequence and no padding.

Registered with transformers' attention interface, so that the model's own code calls it. Causal models,
sliding windows and grouped query heads are served; anything else a model adds to its scores is refused.

On a GPU one call of ``varlen_attn`` does it all, and in bfloat16 on a CPU one of ``native.attend``. In
float32, and without instructions for bfloat16, similar lengths are attended together by torch's own kernel.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from embedd.worker import native
from embedd.worker.layout import Group, Layout

_ADDED_TO_SCORES = ("softcap", "s_aux", "position_bias")


class UnsupportedAttentionError(Exception):
    """The model adds something to its attention scores that packed attention does not know."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """Who sees whom, and by how much scores are scaled: ``window`` tokens each way, itself included."""

    causal: bool
    window: int | None
    scale: float

    def mask(self, group: Group) -> torch.Tensor | None:
        """Minus infinity (count or 1, queries or 1, keys) where a key is not seen; None if all are."""
        unseen, hidden = self._unseen(group.longest), group.empty
        if unseen is not None and hidden is not None:
            hidden = hidden | unseen
        hidden = unseen if hidden is None else hidden
        return None if hidden is None else torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))

    def _unseen(self, length: int) -> torch.Tensor | None:
        """Which keys (columns) each query (row) must not look at, (1, length, length)."""
        window = self.window if self.window is not None and self.window < length else None
        if not self.causal and window is None:
            return None
        position = torch.arange(length)
        ahead = (position[None] - position[:, None])[None]
        unseen = ahead > 0 if self.causal else torch.zeros_like(ahead, dtype=torch.bool)
        return unseen if window is None else unseen | (ahead.abs() >= window)


class PackedAttention:
    """The attention function of one model, in ``dtype``; ``layout`` is set before every forward, and is the
    thread's own, as forwards run beside each other.

    transformers knows it by ``name``, which is its own: the table it stands in is the whole process's.
    """

    def __init__(self) -> None:
        self._running = threading.local()
        self.dtype = torch.float32
        self.name = f"embedd_packed_{id(self):x}"
        AttentionInterface.register(self.name, self)

    @property
    def layout(self) -> Layout:
        layout: Layout = self._running.layout
        return layout

    @layout.setter
    def layout(self, layout: Layout) -> None:
        self._running.layout = layout

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
        refuse_added(_ADDED_TO_SCORES, attention_mask, options)
        rule = _Rule(
            causal=_is_causal(module, options),
            window=options.get("sliding_window"),
            scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        )
        attend = _attend_on_gpu if query.device.type == "cuda" else _attend_on_cpu
        parts = [part[0] for part in (query, key, value)]
        narrow = [part if part.dtype == self.dtype else part.to(self.dtype) for part in parts]
        return attend(narrow[0], narrow[1], narrow[2], rule, self.layout)[None], None


def _attend_on_gpu(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, rule: _Rule, layout: Layout
) -> torch.Tensor:
    """All (heads, tokens, d) to (tokens, heads, d)."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - needs a build with CUDA

    longest = layout.lengths[-1]
    back = -1 if rule.window is None else rule.window - 1
    attended = varlen_attn(
        query.transpose(0, 1).contiguous(),
        key.transpose(0, 1).contiguous(),
        value.transpose(0, 1).contiguous(),
        cu_seq_q=layout.borders,
        cu_seq_k=layout.borders,
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
    """All (heads, tokens, d) to (tokens, heads, d)."""
    if native.SUPPORTED and query.dtype == torch.bfloat16:
        return native.attend(
            query, key, value, layout, scale=rule.scale, causal=rule.causal, window=rule.window
        )
    shared = len(query) // len(key)
    if shared > 1:
        key, value = key.repeat_interleave(shared, dim=0), value.repeat_interleave(shared, dim=0)
    mixed = value.new_zeros((query.shape[1], query.shape[0], value.shape[-1]))
    for group in layout.groups:
        parts = [group.split(part.transpose(0, 1)).float() for part in (query, key, value)]
        mask = rule.mask(group)
        attended = scaled_dot_product_attention(
            parts[0], parts[1], parts[2], attn_mask=None if mask is None else mask[:, None], scale=rule.scale
        )
        mixed[group.tokens] = group.join(attended.to(mixed.dtype))
    return mixed


def refuse_added(names: Iterable[str], attention_mask: torch.Tensor | None, options: dict[str, Any]) -> None:
    """Raises ``UnsupportedAttentionError`` for a mask, or options of these names, in a call of attention."""
    added = [name for name in names if options.get(name) is not None]
    if attention_mask is not None:
        added.append("attention_mask")
    if added:
        raise UnsupportedAttentionError(f"the model's attention takes {', '.join(added)}")


def _is_causal(module: torch.nn.Module, options: dict[str, Any]) -> bool:
    """By transformers' own rule: what the call says, else what the module says, else yes."""
    asked = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if asked is None else asked)
