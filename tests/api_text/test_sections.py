"""The section around a passage: whole paragraphs, up to headings, and no more than was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from api.services.sections import section_around

TEXT = (
    "# Tides\n\nThe moon pulls the sea.\n\nSpring tides are high. Neap tides are low.\n\n"
    "Both come twice.\n\n# Wind\n\nAir."
)


def around(passage: str, most: int) -> str:
    start = TEXT.index(passage)
    first, last = section_around(TEXT, start, start + len(passage), most)
    return TEXT[first:last]


def test_a_section_goes_from_its_heading_to_the_next() -> None:
    assert around("Neap tides are low.", 1000) == TEXT[: TEXT.index("\n\n# Wind")]


def test_a_section_is_made_of_whole_paragraphs_as_long_as_they_fit() -> None:
    assert around("Neap tides", 50) == "Spring tides are high. Neap tides are low."
    assert around("Neap tides", 70) == "The moon pulls the sea.\n\nSpring tides are high. Neap tides are low."


def test_what_does_not_fit_stays_as_it_was() -> None:
    assert around("Neap tides", 5) == around("Neap tides", 12) == "Neap tides"


def test_a_passage_that_begins_with_its_heading_takes_nothing_from_above() -> None:
    assert around("# Wind", 1000) == "# Wind\n\nAir."


@given(st.text(alphabet="a \n#", max_size=60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 80))
def test_a_section_holds_its_passage_and_keeps_to_its_size(
    text: str, one: int, other: int, most: int
) -> None:
    start, end = sorted((min(one, len(text)), min(other, len(text))))
    first, last = section_around(text, start, end, most)
    assert 0 <= first <= start <= end <= last <= len(text)
    assert last - first <= max(most, end - start)
