"""Texts for models that read texts: whatever they are, what is sent fits, and what was cut is told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedd.errors import InvalidInput
from embedd.remote.measures import BytesAsTokens, NamedTokenizer
from embedd.remote.texts import TextsAsRead
from embedd.sources import settings_of
from embedd.specs import parse_spec
from embedd.tokenizer import read_tokenizer

BYTES = TextsAsRead(BytesAsTokens())
REAL = read_tokenizer(settings_of(parse_spec("all-MiniLM-L6-v2")))
NAMED = TextsAsRead(NamedTokenizer(REAL))

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
ends = st.sampled_from(["end", "start"])


@given(text=texts, room=st.integers(16, 80), end=ends)
def test_what_is_sent_has_no_more_bytes_than_there_is_room_for(text: str, room: int, end: str) -> None:
    (one,) = BYTES.encode([text], room, end)  # type: ignore[arg-type]
    (sent,) = one.texts
    assert len(sent.encode()) <= room - BYTES.special_tokens
    assert sent in text
    assert one.cut == (sent != text)
    assert len(one.ids) <= room


@given(text=texts, room=st.integers(16, 40), end=ends)
def test_what_is_sent_has_no_more_tokens_than_there_is_room_for(text: str, room: int, end: str) -> None:
    (one,) = NAMED.encode([text], room, end)  # type: ignore[arg-type]
    (sent,) = one.texts
    (length,) = REAL.count([sent])
    assert length + 2 <= room
    assert one.total == REAL.count([text])[0] + 2
    assert one.cut == (one.total > room)
    assert (sent == text) == (not one.cut)


@given(query=texts, text=texts, room=st.integers(24, 60), end=ends)
def test_of_a_pair_the_text_is_cut_before_the_query(query: str, text: str, room: int, end: str) -> None:
    (one,) = NAMED.encode_pairs(query, [text], room, end)  # type: ignore[arg-type]
    first, second = one.texts
    read, asked = REAL.count([second])[0], REAL.count([query])[0]
    assert REAL.count([first])[0] + read + 4 <= room
    if asked <= (room - 4) // 2:
        assert first == query
    assert one.cut == (asked + REAL.count([text])[0] + 4 > room)


def test_a_long_text_costs_no_more_than_its_beginning() -> None:
    (one,) = NAMED.encode(["word " * 1_000_000], 64, "end")
    assert one.cut
    assert not one.exact
    assert len(one.ids) == 64


def test_what_may_not_be_cut_is_refused_with_its_index() -> None:
    with pytest.raises(InvalidInput, match="input 4 has 52 tokens, the model takes 16"):
        NAMED.encode(["short", "word " * 50], 16, "none", first_index=3)
    with pytest.raises(InvalidInput, match="input 0 has at least"):
        NAMED.encode(["word " * 100_000], 16, "none")
    with pytest.raises(InvalidInput, match="input 1 is no valid Unicode"):
        BYTES.encode(["a", "\ud800"], 16, "end")


def test_places_of_bytes_are_code_points() -> None:
    np.testing.assert_array_equal(BYTES.spans("aé"), [[0, 1], [1, 2], [1, 2]])
    assert BYTES.count(["aé", ""]) == [3, 0]
