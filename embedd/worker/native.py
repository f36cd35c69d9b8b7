"""What kernels.cpp computes on CPUs with AVX512-BF16, over torch's tensors."""

import torch

from embedd.worker import _kernels
from embedd.worker.layout import Layout

SUPPORTED = bool(_kernels.SUPPORTED)
"""Whether this processor has the instructions; where it has not, nothing else here may be called."""


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scale: float,
    causal: bool,
    window: int | None,
) -> torch.Tensor:
    """What each token of (heads, tokens, d) takes from those it sees, as (tokens, heads, d); all in bfloat16.

    Key and value may have fewer heads, each for as many neighbouring ones of the query. A token sees
    ``window`` tokens each way, itself included, and none behind it if ``causal``.
    """
    heads, tokens, d = query.shape
    parts = [part if part.stride(-1) == 1 else part.contiguous() for part in (query, key, value)]
    assert all(part.dtype == torch.bfloat16 and part.shape[1:] == (tokens, d) for part in parts)
    mixed = query.new_empty((tokens, heads, d))
    if layout.tokens < tokens:
        mixed[layout.tokens :] = 0
    query_at, key_at, value_at = ((part.data_ptr(), part.stride(1), part.stride(0)) for part in parts)
    _kernels.attend(
        query_at,
        key_at,
        value_at,
        mixed.data_ptr(),
        layout.borders.data_ptr(),
        len(layout.lengths),
        heads,
        len(key),
        d,
        layout.lengths[-1],
        scale,
        causal,
        window or 0,
        torch.get_num_threads(),
    )
    return mixed
