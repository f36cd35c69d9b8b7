"""What every route that embeds settles around the model."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from api.errors import InvalidRequest, PayloadTooLarge, WrongShape
from api.services.embedding import (
    check_dimensions,
    cosines,
    fit,
    lane_of,
    named_prompt,
    read_inputs,
    typed_prompt,
)
from embedd.lanes import Lane
from embedd.sources import Weights
from embedd.specs import ModelCard, fake_card, parse_spec

CARD: ModelCard = dataclasses.replace(
    fake_card(parse_spec("fake"), Weights(folder=None, revision="", sha256="")),  # type: ignore[arg-type]
    prompts={"query": "query: "},
    default_prompt_name="query",
)
VECTORS = np.array([[3, 4, 0], [0, 3, 4], [0, 0, 2]], dtype=np.float32)


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ("a text", ["a text"]),
        (["one", "two"], ["one", "two"]),
        ([5, 6, 7], [[5, 6, 7]]),
        ([[5, 6], [7]], [[5, 6], [7]]),
        (["a text", [5, 6]], ["a text", [5, 6]]),
    ],
)
def test_inputs_are_texts_or_token_ids_one_or_many(value: Any, inputs: Any) -> None:
    assert read_inputs(value, 10, "input") == inputs


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([], InvalidRequest),
        ([5, "a text"], WrongShape),
        ([5, [6]], WrongShape),
        (["x"] * 11, PayloadTooLarge),
    ],
)
def test_other_inputs_are_refused_under_the_name_of_their_field(value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="`input`") as caught:
        read_inputs(value, 10, "input")
    assert caught.value.param == "input"  # type: ignore[attr-defined]


def test_a_long_list_of_ids_is_one_input() -> None:
    assert len(read_inputs(list(range(100)), 10, "input")) == 1


def test_a_few_texts_are_interactive_and_many_are_bulk() -> None:
    assert (lane_of(1), lane_of(8), lane_of(9)) == (Lane.INTERACTIVE, Lane.INTERACTIVE, Lane.BULK)


def test_a_prompt_is_the_named_one_or_the_default() -> None:
    assert named_prompt(CARD, "query") == named_prompt(CARD, None) == "query: "
    assert named_prompt(dataclasses.replace(CARD, default_prompt_name=None), None) == ""


def test_an_unknown_prompt_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="query"):
        named_prompt(CARD, "passage")


@pytest.mark.parametrize(
    ("input_type", "prompt"),
    [
        ("query", "query: "),
        ("search_query", "query: "),
        ("document", ""),
        ("passage", ""),
        ("clustering", ""),
    ],
)
def test_the_use_of_a_text_chooses_its_prompt_and_never_the_default_one(input_type: str, prompt: str) -> None:
    assert typed_prompt(CARD, input_type) == prompt


def test_a_model_may_have_prompts_for_uses_of_its_own() -> None:
    card = dataclasses.replace(CARD, prompts={"passage": "passage: ", "document": "", "bitext": "same: "})
    assert (typed_prompt(card, "passage"), typed_prompt(card, "bitext")) == ("passage: ", "same: ")


def test_a_misspelt_use_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match=r"'qeury'; known are: .*query") as error:
        typed_prompt(CARD, "qeury")
    assert error.value.param == "input_type"


@pytest.mark.parametrize("dimensions", [0, -1, 65])
def test_dimensions_that_the_model_does_not_have_are_refused(dimensions: int) -> None:
    with pytest.raises(InvalidRequest, match="64"):
        check_dimensions(CARD, dimensions)


def test_dimensions_of_the_model_are_taken() -> None:
    check_dimensions(CARD, 1)
    check_dimensions(CARD, 64)
    check_dimensions(CARD, None)


def test_vectors_are_cut_and_then_of_length_one() -> None:
    np.testing.assert_allclose(fit(CARD, VECTORS, 2, normalize=True), [[0.6, 0.8], [0, 1], [0, 0]])


def test_vectors_of_length_one_are_not_touched_again() -> None:
    np.testing.assert_array_equal(fit(CARD, VECTORS, None, normalize=True), VECTORS)


def test_vectors_of_another_length_are_normalised_only_if_asked() -> None:
    card = dataclasses.replace(CARD, normalized=False)
    np.testing.assert_allclose(fit(card, VECTORS, None, normalize=False), VECTORS)
    np.testing.assert_allclose(np.linalg.norm(fit(card, VECTORS, None, normalize=True), axis=1), 1, rtol=1e-6)


def test_cosines_compare_the_first_row_with_the_others() -> None:
    assert cosines(VECTORS) == pytest.approx([12 / 25, 0.0])
