"""Sides: processes that answer one step at a time, and the pure parts of what they run."""

import os
from pathlib import Path

import pytest

from embedd.batches import BatchLimits
from harness.side import SideFailed, open_side, usable_cores
from harness.sides.engine import cut
from harness.sides.openvino_bf16 import pad
from harness.sides.products import shapes_of


async def test_a_side_that_cannot_begin_is_an_error_at_its_first_step(tmp_path: Path) -> None:
    configuration = {"folder": str(tmp_path), "texts": str(tmp_path / "absent.json")}
    async with open_side("products", cores=usable_cores()[:1], **configuration) as side:
        with pytest.raises(SideFailed, match="products ended with 1"):
            await side.call("describe")


async def test_a_side_answers_its_steps_and_has_ended_when_it_is_left(tmp_path: Path) -> None:
    shape = '{"hidden_size": 4, "intermediate_size": 8, "num_hidden_layers": 1}'
    (tmp_path / "config.json").write_text(shape)
    async with open_side("products", cores=usable_cores()[:1], folder=str(tmp_path)) as side:
        facts = await side.call("describe")
        timed = await side.call("run", dtype="float32", batches=[2, 3])
        pid = side.pid
        assert os.sched_getaffinity(pid) == set(usable_cores()[:1])
    assert facts.keys() == {"float32", "bfloat16"}
    assert timed["seconds"] > 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_every_text_is_in_one_batch_and_no_batch_is_too_large() -> None:
    lengths = [5, 9, 2, 7, 3, 8, 1] * 100
    batches = cut(lengths, BatchLimits(max_tokens=20, max_area=10_000), "packed")
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert max(sum(lengths[row] for row in batch) for batch in batches) <= 20


def test_a_bert_layer_has_six_products() -> None:
    shapes = shapes_of({"hidden_size": 4, "intermediate_size": 16})
    assert shapes == [(4, 4), (4, 4), (4, 4), (4, 4), (16, 4), (4, 16)]


def test_padding_is_zeros_on_the_right_and_masked() -> None:
    tokens, mask = pad([[5, 6, 7], [8]])
    assert tokens.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
