"""Tokens as text: characters are whole, nothing is lost at the end, and bytes are those of the text."""

import language_tokenizers
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from embedd.generation.vocabulary import Detokenizer, Vocabulary

VOCABULARIES = {name: Vocabulary(text) for name, text in language_tokenizers.BOTH.items()}
TOKENIZERS = {name: tokenizers.Tokenizer.from_str(text) for name, text in language_tokenizers.BOTH.items()}
NAMES = st.sampled_from(sorted(VOCABULARIES))


def pieces_of(name: str, ids: list[int], *, specials: bool = False) -> list[str]:
    detokenizer = Detokenizer(VOCABULARIES[name], specials=specials)
    return [*(detokenizer.add(id) for id in ids), detokenizer.finish()]


@given(NAMES, st.text(st.sampled_from("tide abc Grö日本🌊🐚é\n"), max_size=40))
@settings(deadline=None)
def test_the_pieces_of_a_text_are_the_text_and_no_character_is_broken(name: str, text: str) -> None:
    ids = TOKENIZERS[name].encode(text).ids
    pieces = pieces_of(name, ids)
    assert "".join(pieces) == TOKENIZERS[name].decode(ids)
    assert not any("\ufffd" in piece for piece in pieces)


@given(st.lists(st.integers(0, VOCABULARIES["byte-level"].size - 1), max_size=30))
@settings(deadline=None)
def test_any_bytes_at_all_are_told_to_the_end(ids: list[int]) -> None:
    said, whole = "".join(pieces_of("byte-level", ids)), TOKENIZERS["byte-level"].decode(ids)
    assert said.replace("\ufffd", "") == whole.replace("\ufffd", "")


def test_a_character_comes_with_its_last_byte() -> None:
    ids = [3 + byte for byte in "🌊".encode()]
    assert pieces_of("byte-fallback", ids) == ["", "", "", "🌊", ""]


def test_a_character_that_was_cut_off_is_told_at_the_end() -> None:
    pieces = pieces_of("byte-fallback", [3 + byte for byte in "a🌊".encode()][:3])
    assert pieces[0] == "a"
    assert set(pieces[-1]) == {"\ufffd"}


def test_bytes_that_never_become_a_character_do_not_hold_up_the_text() -> None:
    pieces = pieces_of("byte-fallback", [3 + 0xF0] * 40)
    assert any(pieces[:20])


@pytest.mark.parametrize("name", VOCABULARIES)
def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(name: str) -> None:
    text = "tide Größe 🌊"
    ids = TOKENIZERS[name].encode(text).ids
    assert b"".join(VOCABULARIES[name].bytes_of(id) for id in ids).decode().strip() == text


def test_special_tokens_are_left_out_unless_they_are_asked_for() -> None:
    vocabulary = VOCABULARIES["byte-level"]
    mark = vocabulary.id_of("[TOOL_CALLS]")
    assert mark is not None
    assert "".join(pieces_of("byte-level", [mark])) == ""
    assert "".join(pieces_of("byte-level", [mark], specials=True)) == "[TOOL_CALLS]"
    assert vocabulary.is_special("[TOOL_CALLS]")
    assert not vocabulary.is_special("<tool_call>")
    assert not vocabulary.is_special("nothing like it")
    assert vocabulary.bytes_of(mark) == b"[TOOL_CALLS]"
