"""What may be written: ids, metadata, texts and vectors."""

from collections.abc import Callable

import numpy as np
import pytest

from index.codec import (
    MAX_METADATA_BYTES,
    check_id,
    check_vector,
    encode_metadata,
    searchable,
    searchable_row,
)
from index.errors import InvalidDocument, InvalidId, InvalidVector
from index.rows import Document


@pytest.mark.parametrize("id_", ["a", "folder/file.md", "ü" * 256, "with space", "#%?"])
def test_ids_are_any_text_up_to_512_bytes(id_: str) -> None:
    check_id(id_)


@pytest.mark.parametrize("id_", ["", "x" * 513, "ü" * 257, "a\nb", "nul\0", "del\x7f", "\x85", "\ud800"])
def test_other_ids_are_refused(id_: str) -> None:
    with pytest.raises(InvalidId):
        check_id(id_)


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": float("nan")},
        {"a": object()},
        {1: "a"},
        {"a": "nul\0"},
        {"a": ["nul\0"]},
        {"nul\0": 1},
        {"a": "\ud800"},
    ],
)
def test_metadata_that_sqlite_would_change_is_refused(
    metadata: dict, make_document: Callable[..., Document]
) -> None:
    with pytest.raises(InvalidDocument):
        encode_metadata(make_document("a", 1, metadata=metadata))


def test_metadata_nested_without_end_is_refused(make_document: Callable[..., Document]) -> None:
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvalidDocument):
        encode_metadata(make_document("a", 1, metadata={"a": nested}))


@pytest.mark.parametrize(
    "around", [lambda value: [value], lambda value: {"in": value}], ids=["list", "object"]
)
def test_metadata_may_be_eight_deep(
    around: Callable[[object], object], make_document: Callable[..., Document]
) -> None:
    value: object = "core"
    for _ in range(7):
        value = around(value)
    encode_metadata(make_document("a", 1, metadata={"a": value}))
    with pytest.raises(InvalidDocument, match="8 deep"):
        encode_metadata(make_document("a", 1, metadata={"a": around(value)}))


def test_metadata_may_have_64_kilobytes(make_document: Callable[..., Document]) -> None:
    full = "ü" * ((MAX_METADATA_BYTES - len('{"a":""}')) // 2)
    assert len(encode_metadata(make_document("a", 1, metadata={"a": full})).encode()) == MAX_METADATA_BYTES
    with pytest.raises(InvalidDocument, match="65537 bytes"):
        encode_metadata(make_document("a", 1, metadata={"a": full + "x"}))


def test_text_about_nul_is_not_nul(make_document: Callable[..., Document]) -> None:
    assert encode_metadata(make_document("a", 1, metadata={"a": "\\u0000"})) == '{"a":"\\\\u0000"}'


@pytest.mark.parametrize(
    ("vector", "metric"),
    [
        ([1.0, 2.0], "cosine"),
        ([[1.0, 2.0, 3.0]], "cosine"),
        ([1.0, float("nan"), 0.0], "dot"),
        ([1.0, float("inf"), 0.0], "l2"),
        ([1e39, 0.0, 0.0], "cosine"),
        ([0.0, 0.0, 0.0], "cosine"),
        ([1e19, 0.0, 0.0], "dot"),
        (["a", "b", "c"], "dot"),
        ([1.0, [2.0], 3.0], "dot"),
    ],
)
def test_a_vector_that_cannot_be_searched_is_refused(vector: list, metric: str) -> None:
    with pytest.raises(InvalidVector, match="here"):
        check_vector(vector, 3, metric, "here")


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 1e20, 3e38])
def test_any_length_has_a_direction(scale: float) -> None:
    vector = check_vector([scale, 0.0, 0.0], 3, "cosine", "here")
    np.testing.assert_allclose(searchable(vector.reshape(1, 3), "cosine"), [[1.0, 0.0, 0.0]], rtol=1e-6)


def test_zero_is_a_vector_where_it_has_a_meaning() -> None:
    assert not check_vector([0, 0, 0], 3, "dot", "here").any()


@pytest.mark.parametrize("number", [3e38, 1e-45, 1.0, -2e-30])
def test_what_is_asked_for_is_scaled_as_what_is_stored(number: float) -> None:
    row = np.full(8, number, dtype=np.float32)
    expected = np.full(8, np.sign(number) / np.sqrt(8), dtype=np.float32)
    assert np.allclose(searchable_row(row, "cosine"), expected, rtol=1e-6)
    assert searchable_row(row, "cosine").tobytes() == searchable(row[None], "cosine")[0].tobytes()
