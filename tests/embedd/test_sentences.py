"""The sentence splitter: its rules one by one, and its invariants over any text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedd.sentences import split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It cost $3.50. He paid.", ["It cost $3.50.", "He paid."]),
        ("Dr. Smith met Mrs. Jones. They left.", ["Dr. Smith met Mrs. Jones.", "They left."]),
        ("See Fig. 3 and p. 5. Next.", ["See Fig. 3 and p. 5.", "Next."]),
        ("She likes the fig. The cat does not.", ["She likes the fig.", "The cat does not."]),
        ("By J. K. Rowling. It sold well.", ["By J. K. Rowling.", "It sold well."]),
        ("The U.S. Army came. It left.", ["The U.S. Army came.", "It left."]),
        ("He lives in the U.S. The end.", ["He lives in the U.S.", "The end."]),
        ("Beans, peas, etc. However, no rice.", ["Beans, peas, etc.", "However, no rice."]),
        ("Tools, e.g. Python, i.e. code. Done.", ["Tools, e.g. Python, i.e. code.", "Done."]),
        ('"Why?" he asked. "Go!" She left.', ['"Why?" he asked.', '"Go!"', "She left."]),
        ("(It was so.) Then it was not.", ["(It was so.)", "Then it was not."]),
        ("Wait... What? now", ["Wait...", "What? now"]),
        ("In 1999. 25 people came.", ["In 1999.", "25 people came."]),
        ("これは文です。次の文！終わり", ["これは文です。", "次の文！", "終わり"]),
        ("यह एक वाक्य है। यह दूसरा है।", ["यह एक वाक्य है।", "यह दूसरा है।"]),
    ],
)
def test_terminators_end_sentences_and_abbreviations_do_not(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_blank_line_ends_a_sentence_and_a_single_line_break_does_not() -> None:
    assert sentences("one line\nwraps here\n \nanother one") == ["one line\nwraps here", "another one"]


def test_windows_line_ends_count_as_one_break() -> None:
    assert sentences("one line\r\nwraps here\r\n\r\nanother one") == ["one line\r\nwraps here", "another one"]


def test_headings_items_and_table_rows_stand_alone() -> None:
    text = "# Title\nsome text\n- an item\n* another\n1. first\n2) second\n| a | b |\n> quoted"
    assert sentences(text) == text.split("\n")


def test_a_list_number_belongs_to_its_item() -> None:
    assert sentences("1. Buy milk. Drink it.\n2. Sleep") == ["1. Buy milk.", "Drink it.", "2. Sleep"]


def test_behind_a_line_too_long_for_wrapped_text_a_line_break_ends_the_paragraph() -> None:
    long_line = "word " * 40 + "end"
    assert sentences(f"{long_line}\nnext") == [long_line, "next"]


def test_a_short_line_above_a_long_one_is_a_title() -> None:
    title, body = "2.1 Methods", "The method that is proposed here is described at length"
    assert sentences(f"{title}\n{body}\nand on") == [title, f"{body}\nand on"]


def test_blank_text_has_no_sentences() -> None:
    assert sentences("") == []
    assert sentences(" \n\t\u3000 ") == []


prose = st.lists(
    st.sampled_from(
        [
            "Dr",
            "a",
            "B",
            "U.S",
            "12",
            ".",
            "!",
            '?"',
            "。",
            " ",
            "\n",
            "\n\n",
            "\r\n",
            "# ",
            "- ",
            "\u2028",
            "é",
        ]
    )
).map("".join)


@given(st.one_of(st.text(), prose))
@example("." * 5000)
@example(".)" * 3000)
@example("\n " * 3000)
def test_the_spans_are_ordered_disjoint_trimmed_and_hold_all_that_is_not_blank(text: str) -> None:
    spans = split_sentences(text)
    last_end = 0
    for start, end in spans:
        assert last_end <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        last_end = end
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())
