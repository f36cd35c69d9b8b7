"""The compiled products and attention against torch's, and a token's numbers whatever runs beside it."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedd.worker.generation.batch import Batch
from embedd.worker.generation.native import PANEL, Panels, attend, new_pages

TYPES = (torch.float32, torch.bfloat16, torch.int8)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("columns", "depth"), [(1, 1), (31, 7), (64, 130), (97, 300)])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100, 200])
def test_products_are_torchs(dtype: torch.dtype, columns: int, depth: int, rows: int) -> None:
    weight, bias, inputs = random(columns, depth), random(columns), random(rows, depth)
    panels = Panels.lay_out(weight, dtype)
    kept = panels.rows(torch.arange(columns))
    torch.testing.assert_close(kept, weight, atol=0.03, rtol=0.01)
    expected = torch.nn.functional.linear(inputs, kept, bias)
    torch.testing.assert_close(panels.multiply(inputs, bias), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_rows_product_is_the_same_bit_by_bit_in_every_batch(dtype: torch.dtype) -> None:
    panels, inputs = Panels.lay_out(random(70, 300), dtype), random(130, 300)
    together = panels.multiply(inputs, None)
    for first, last in ((0, 1), (3, 5), (7, 10), (20, 26), (90, 130)):
        assert torch.equal(panels.multiply(inputs[first:last], None), together[first:last])


def test_inputs_of_any_shape_and_stride_are_multiplied() -> None:
    panels, inputs = Panels.lay_out(random(40, 20), torch.float32), random(2, 3, 40)[..., ::2]
    expected = panels.multiply(inputs.reshape(6, 20).contiguous(), None)
    assert torch.equal(panels.multiply(inputs, None), expected.view(2, 3, 40))
    assert panels.multiply(inputs[:0], None).shape == (0, 3, 40)


class Sequences:
    """Keys and values of a few sequences, computed part by part as an engine would."""

    def __init__(
        self, lengths: Sequence[int], heads: int, key_heads: int, d: int, dtype: torch.dtype
    ) -> None:
        self.lengths = lengths
        self.query = [random(heads, length, d) for length in lengths]
        self.key = [random(key_heads, length, d) for length in lengths]
        self.value = [random(key_heads, length + 1, d)[:, 1:] for length in lengths]
        counts = [-(-length // PANEL) for length in lengths]
        order = torch.randperm(sum(counts), generator=torch.Generator().manual_seed(1)).tolist()
        self.pages = [[order.pop() for _ in range(count)] for count in counts]
        self._memory = new_pages(sum(counts), key_heads, d, dtype)

    def attend(self, parts: Sequence[tuple[int, int, int]], **rule: float) -> torch.Tensor:
        """What the tokens of ``parts`` (sequence, first, last) take, in one call."""
        batch = Batch.of(
            [[0] * (last - first) for _, first, last in parts],
            [first for _, first, _ in parts],
            [self.pages[number] for number, _, _ in parts],
            [0] * len(parts),
        )
        query, key, value = (
            torch.cat([whole[number][:, first:last] for number, first, last in parts], dim=1)
            for whole in (self.query, self.key, self.value)
        )
        return attend(
            (query, key, value), self._memory, batch.spans, **({"softcap": 0.0, "window": 0} | rule)
        )


def plain(
    all_: Sequences, number: int, *, scale: float, softcap: float = 0.0, window: int = 0
) -> torch.Tensor:
    """By the definition, (tokens, heads, d)."""
    query, key, value = (whole[number] for whole in (all_.query, all_.key, all_.value))
    shared = len(query) // len(key)
    scores = query @ key.repeat_interleave(shared, 0).transpose(1, 2) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    place = torch.arange(query.shape[1])
    ahead = place[None] - place[:, None]
    hidden = (ahead > 0) | (ahead <= -window if window else torch.zeros_like(ahead, dtype=torch.bool))
    weights = scores.masked_fill(hidden, float("-inf")).softmax(dim=-1)
    return (weights @ value.repeat_interleave(shared, 0)).transpose(0, 1)


@pytest.mark.parametrize("rule", [{}, {"window": 5}, {"window": 40}, {"softcap": 2.0}])
@pytest.mark.parametrize(("heads", "key_heads", "d"), [(4, 4, 8), (14, 2, 64), (6, 1, 80), (64, 2, 16)])
def test_attention_is_that_of_its_definition(
    heads: int, key_heads: int, d: int, rule: dict[str, float]
) -> None:
    lengths = [1, 31, 32, 33, 100]
    sequences = Sequences(lengths, heads, key_heads, d, torch.float32)
    found = sequences.attend([(n, 0, length) for n, length in enumerate(lengths)], scale=0.3, **rule)
    for number, part in enumerate(found.split(lengths)):
        expected = plain(sequences, number, scale=0.3, **rule)
        torch.testing.assert_close(part, expected, atol=2e-5, rtol=1e-4)


def test_keys_and_values_in_bfloat16_are_nearly_as_good() -> None:
    sequences = Sequences([70], 4, 2, 32, torch.bfloat16)
    found = sequences.attend([(0, 0, 70)], scale=0.2)
    torch.testing.assert_close(found, plain(sequences, 0, scale=0.2), atol=0.05, rtol=0.05)


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(1, 99), max_size=6, unique=True), window=st.sampled_from([0, 3, 50]))
def test_attention_is_the_same_bit_by_bit_however_a_sequence_is_cut(cuts: list[int], window: int) -> None:
    whole = Sequences([100, 60], 6, 2, 16, torch.float32)
    expected = whole.attend([(0, 0, 100), (1, 0, 60)], scale=0.25, window=window)
    borders = [0, *sorted(cuts), 100]
    parts = Sequences([100, 60], 6, 2, 16, torch.float32)
    found = [parts.attend([(0, first, last)], scale=0.25, window=window) for first, last in pairwise(borders)]
    assert torch.equal(torch.cat(found), expected[:100])


def test_what_a_page_held_before_does_not_matter() -> None:
    clean, used = (Sequences([40], 2, 2, 16, torch.float32) for _ in range(2))
    for memory in used._memory:
        memory.fill_(float("nan"))
    parts = [(0, 0, 40)]
    assert torch.equal(used.attend(parts, scale=0.3), clean.attend(parts, scale=0.3))
