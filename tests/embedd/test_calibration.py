"""Vectors in fewer bits, and the scales that are measured once."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedd.calibration import Calibration, Calibrator, measure, quantise_int8, to_ubinary
from embedd.calibration_texts import CALIBRATION_TEXTS
from embedd.errors import ModelUnavailable
from embedd.fake import FAKE_DIM, FakeTokenizer, fake_vectors


class Model:
    """The fake model, which counts how often it is asked and can be away."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise ModelUnavailable("not now", retry_after_s=1.0)
        return fake_vectors([one.ids for one in FakeTokenizer().encode(texts, 256, "end")])


def calibrator(model: Model, folder: Path, sha256: str = "abc") -> Calibrator:
    return Calibrator(model.embed, sha256, FAKE_DIM, folder)


async def test_a_scale_is_measured_once_and_kept(tmp_path: Path) -> None:
    model = Model()
    first = calibrator(model, tmp_path / "new")
    known = await asyncio.gather(first.get(), first.get(), first.get())
    again = await calibrator(model, tmp_path / "new").get()
    assert known == [again] * 3
    assert model.asked == 1


async def test_other_weights_are_measured_anew(tmp_path: Path) -> None:
    model = Model()
    await calibrator(model, tmp_path).get()
    await calibrator(model, tmp_path, "def").get()
    assert model.asked == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99}', '{"format": 1, "whole": 1, "cut": [1]}'])
async def test_a_file_that_is_no_calibration_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "abc.json").write_text(content)
    known = await calibrator(Model(), tmp_path).get()
    assert json.loads((tmp_path / "abc.json").read_text())["whole"] == known.whole


async def test_a_folder_that_cannot_be_written_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    assert (await calibrator(Model(), tmp_path / "taken").get()).whole > 0


async def test_a_model_that_is_away_is_asked_again_the_next_time(tmp_path: Path) -> None:
    model = Model()
    model.away = True
    waiting = calibrator(model, tmp_path)
    with pytest.raises(ModelUnavailable):
        await waiting.get()
    model.away = False
    assert (await waiting.get()).whole > 0


def test_the_largest_number_measured_takes_the_last_step() -> None:
    vectors = np.array([[0.5, -1.0], [0.25, 0.0]], dtype=np.float32)
    calibration = measure(vectors)
    assert calibration.scale() == pytest.approx(1 / 127, rel=1e-2)
    np.testing.assert_array_equal(quantise_int8(vectors, 1 / 127), [[64, -127], [32, 0]])


def test_vectors_that_are_cut_have_a_scale_of_their_own() -> None:
    vectors = fake_vectors([one.ids for one in FakeTokenizer().encode(CALIBRATION_TEXTS, 256, "end")])
    calibration = measure(vectors)
    for dimensions in (1, 8, FAKE_DIM):
        short = vectors[:, :dimensions]
        short = short / np.linalg.norm(short, axis=1, keepdims=True)
        assert np.abs(quantise_int8(short, calibration.scale(dimensions))).max() in (126, 127)
    assert calibration.scale(FAKE_DIM) == calibration.scale()


def test_vectors_of_zeros_have_a_scale() -> None:
    calibration = measure(np.zeros((2, 3), dtype=np.float32))
    assert not quantise_int8(np.zeros((2, 3), dtype=np.float32), calibration.whole).any()


VECTORS = arrays(np.float32, (4, 9), elements=st.floats(-2, 2, width=32))


@given(VECTORS, st.floats(1e-3, 1.0))
def test_int8_is_the_nearest_step_or_the_last_one(vectors: npt.NDArray[np.float32], scale: float) -> None:
    codes = quantise_int8(vectors, scale)
    assert codes.dtype == np.int8
    clipped = np.clip(vectors, -127 * scale, 127 * scale)
    assert np.abs(codes * scale - clipped).max() <= 0.501 * scale


@given(VECTORS)
def test_bits_are_the_signs(vectors: npt.NDArray[np.float32]) -> None:
    packed = to_ubinary(vectors)
    assert packed.shape == (4, 2)
    assert packed.dtype == np.uint8
    np.testing.assert_array_equal(np.unpackbits(packed, axis=1)[:, :9], vectors > 0)


def test_the_texts_are_as_many_as_they_seem() -> None:
    assert len(CALIBRATION_TEXTS) == len(set(CALIBRATION_TEXTS)) == 69
    assert all(text == text.strip() for text in CALIBRATION_TEXTS)
    assert Calibration(0.5, (0.1, 0.2)).scale(1) == 0.1
