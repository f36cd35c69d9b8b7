"""The compiled attention against its definition in float32, and against itself in other company."""

import math
from collections.abc import Iterable

import pytest
import torch

from embedd.worker import native
from embedd.worker.layout import Layout

pytestmark = pytest.mark.skipif(not native.SUPPORTED, reason="this processor has no AVX512-BF16")

CPU = torch.device("cpu")
SHAPES = ((12, 12, 32), (4, 2, 64), (2, 2, 80), (3, 1, 20), (2, 2, 128), (2, 1, 256), (2, 2, 7))
LENGTHS = ([1], [3, 17, 64, 65, 100], [200, 300, 700])
RULES = ((False, None), (True, None), (False, 5), (True, 9), (False, 130), (True, 70))


def draw(tokens: int, heads: Iterable[int], d: int) -> list[torch.Tensor]:
    torch.manual_seed(tokens + d)
    return [(torch.randn(count, tokens, d) * 2).bfloat16() for count in heads]


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: list[int], **rule: object
) -> torch.Tensor:
    rule = {"scale": query.shape[-1] ** -0.5, "causal": False, "window": None} | rule
    return native.attend(query, key, value, Layout.of(lengths, CPU), **rule)


def define(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    *,
    causal: bool = False,
    window: int | None = None,
) -> torch.Tensor:
    shared = len(query) // len(key)
    whole = [query, key.repeat_interleave(shared, 0), value.repeat_interleave(shared, 0)]
    mixed = []
    for queries, keys, values in zip(*(part.float().split(lengths, 1) for part in whole), strict=True):
        position = torch.arange(queries.shape[1])
        ahead = position[None] - position[:, None]
        unseen = (ahead > 0) & causal | (ahead.abs() >= (window or math.inf))
        scores = queries @ keys.transpose(1, 2) * query.shape[-1] ** -0.5
        mixed.append(scores.masked_fill(unseen, -math.inf).softmax(-1) @ values)
    return torch.cat(mixed, 1).transpose(0, 1)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_token_takes_what_attention_is_defined_as(
    shape: tuple[int, int, int], lengths: list[int], rule: tuple[bool, int | None]
) -> None:
    (heads, key_heads, d), (causal, window) = shape, rule
    parts = draw(sum(lengths), (heads, key_heads, key_heads), d)
    mixed = attend(*parts, lengths, causal=causal, window=window)
    expected = define(*parts, lengths, causal=causal, window=window)
    torch.testing.assert_close(mixed.float(), expected, atol=0.03, rtol=0.01)


def test_neighbours_change_not_a_bit() -> None:
    lengths = [5, 16, 33, 90]
    parts = draw(sum(lengths), (2, 2, 2), 32)
    together = attend(*parts, lengths).split(lengths)
    alone = zip(*(part.split(lengths, 1) for part in parts), strict=True)
    for one, others, length in zip(together, alone, lengths, strict=True):
        assert torch.equal(one, attend(*others, [length]))


def test_any_strides_will_do() -> None:
    query, key, value = draw(40, (3, 3, 3), 16)
    expected = attend(query, key, value, [40])
    beside = torch.stack([query, key, value], 2).transpose(0, 1).contiguous()  # tokens, heads, three, d
    across = [part.transpose(1, 2).contiguous().transpose(1, 2) for part in (query, key, value)]
    assert torch.equal(attend(*(beside[:, :, part].transpose(0, 1) for part in range(3)), [40]), expected)
    assert torch.equal(attend(*across, [40]), expected)


def test_tokens_behind_the_last_sequence_come_out_as_zero() -> None:
    parts = draw(48, (2, 2, 2), 32)
    mixed = attend(*parts, [40])
    assert torch.equal(mixed[:40], attend(*(part[:, :40] for part in parts), [40]))
    assert not mixed[40:].any()


def test_threads_share_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [7, 50, 300]
    parts = draw(sum(lengths), (4, 4, 4), 32)
    expected = attend(*parts, lengths)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(attend(*parts, lengths), expected)


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("part", range(3))
def test_what_is_not_finite_stays_in_its_own_sequence(number: float, part: int) -> None:
    parts = draw(60, (2, 2, 2), 32)
    parts[part][:, 25] = number
    first, spoilt, last = attend(*parts, [20, 20, 20]).isfinite().all((1, 2)).split(20)
    assert first.all()
    assert last.all()
    assert not spoilt.all()
