"""What kernels.cpp computes on a CPU, over torch's tensors."""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from embedd.worker.generation import _kernels

PANEL: int = _kernels.PANEL
"""Columns that lie together, and tokens of a page."""

_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}


@dataclass(frozen=True, slots=True)
class Panels:
    """A weight matrix (columns, depth) laid out for the processor, of any size but computed in float32.

    ``numbers`` (columns / PANEL rounded up, depth, PANEL); those of int8 are worth ``scales`` (columns,)
    each.
    """

    numbers: torch.Tensor
    scales: torch.Tensor | None
    columns: int

    @classmethod
    def lay_out(cls, weight: torch.Tensor, dtype: torch.dtype) -> "Panels":
        """``weight`` (columns, depth) as numbers of ``dtype``: float32, bfloat16 or int8."""
        scales = None
        if dtype == torch.int8:
            scales = (weight.float().abs().amax(dim=1) / 127).clamp(min=1e-12)
            weight = (weight / scales[:, None]).round()
        columns, depth = weight.shape
        whole = pad(weight.to(dtype), (0, 0, 0, -columns % PANEL))
        return cls(whole.view(-1, PANEL, depth).transpose(1, 2).contiguous(), scales, columns)

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """The rows (*ids, depth) of the matrix, in float32."""
        found = self.numbers[ids // PANEL, :, ids % PANEL].float()
        return found if self.scales is None else found * self.scales[ids][..., None]

    def multiply(self, inputs: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """``inputs`` (*, depth) times the matrix's transpose, plus ``bias``, in float32."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        rows = (rows if rows.stride(-1) == 1 else rows.contiguous()).float()
        products = torch.empty(rows.shape[0], self.columns)
        assert rows.shape[1] == self.numbers.shape[1]
        _kernels.multiply(
            (rows.data_ptr(), *rows.shape, rows.stride(0)),
            (self.numbers.data_ptr(), _TYPES[self.numbers.dtype], _address(self.scales)),
            _address(bias),
            products.data_ptr(),
            self.columns,
            torch.get_num_threads(),
        )
        return products.view(*inputs.shape[:-1], self.columns)


@dataclass(frozen=True, slots=True)
class Spans:
    """Which tokens of a batch belong to which sequence, and where its pages are; int32, next to each other.

    ``borders`` (n + 1,): where each one's tokens begin and the last one's end; ``before`` (n,): how many it
    had before; ``tables`` (n, width): its pages.
    """

    borders: torch.Tensor
    before: torch.Tensor
    tables: torch.Tensor


def new_pages(pages: int, heads: int, d: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Empty pages of keys and of values; float32 or bfloat16. Memory that is not written to is not taken."""
    wide = -(-d // PANEL) * PANEL
    keys = torch.zeros(pages, heads, d, PANEL, dtype=dtype)
    return keys, torch.zeros(pages, heads, wide, PANEL, dtype=dtype)


def attend(
    parts: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    pages: tuple[torch.Tensor, torch.Tensor],
    spans: Spans,
    *,
    scale: float,
    softcap: float,
    window: int,
) -> torch.Tensor:
    """Writes new keys and values into their pages, and gives what each token takes from those it sees.

    ``parts``: query, key and value, each (heads, tokens, d), key and value with as many heads or fewer.
    Returns (tokens, heads, d) in float32. ``softcap`` and ``window`` are 0 where there is none; a window
    counts the token itself.
    """
    query, key, value = (_even(part) for part in parts)
    heads, tokens, d = query.shape
    assert key.shape == value.shape == (len(key), tokens, d)
    mixed = torch.empty(tokens, heads, d)
    _kernels.attend(
        (query.data_ptr(), query.stride(1), query.stride(0)),
        (key.data_ptr(), key.stride(1), key.stride(0)),
        (value.data_ptr(), value.stride(1), value.stride(0)),
        (pages[0].data_ptr(), pages[1].data_ptr(), pages[0].dtype == torch.bfloat16),
        mixed.data_ptr(),
        (spans.borders.data_ptr(), spans.before.data_ptr(), spans.tables.data_ptr(), *spans.tables.shape),
        heads,
        len(key),
        d,
        scale,
        softcap,
        window,
        torch.get_num_threads(),
    )
    return mixed


def _even(part: torch.Tensor) -> torch.Tensor:
    part = part.float()
    return part if part.stride(-1) == 1 else part.contiguous()


def _address(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
