"""Texts that PostgreSQL cannot keep as they are, places among ids, and vectors on their way."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from index.postgres.text import decode_text, encode_text, first_behind
from index.postgres.vectors import decode_vector, encode_vector, encode_vectors

TEXTS = st.text(st.sampled_from("\0\x01\x1aab\ud7ff\ue000\U0001f600"))
IDS = st.text(st.sampled_from(" ab\ud7ff\ue000\U0001f600"), min_size=1)
PLACES = st.text(st.sampled_from("\0 ab\ud7ff\ud800\udfff\ue000\U0001f600"))


@given(TEXTS)
def test_any_text_comes_back_and_none_is_kept_with_a_nul(text: str) -> None:
    encoded = encode_text(text)
    assert "\0" not in encoded
    assert decode_text(encoded) == text


@given(IDS, PLACES)
def test_an_id_is_behind_a_place_as_its_code_points_are(id_: str, place: str) -> None:
    assert (id_ >= first_behind(place)) == (id_ > place)


def test_every_id_is_behind_no_place() -> None:
    assert first_behind(None) <= "a"


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_vectors_come_back_bit_for_bit(numbers: list[float]) -> None:
    vector = np.array(numbers, dtype=np.float32)
    encoded = encode_vector(vector)
    assert decode_vector(encoded).tobytes() == vector.tobytes()
    assert encode_vectors(vector[None, :]) == [encoded]
