"""Stop strings: found across the borders of pieces, and nothing else held back for good."""

from hypothesis import given
from hypothesis import strategies as st

from embedd.generation.stops import StopStrings

LETTERS = "ab"
PIECES = st.lists(st.text(LETTERS, max_size=4), max_size=12)
STOPS = st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=3)


def say(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    matcher = StopStrings(stops)
    said = "".join(matcher.add(piece) for piece in pieces)
    return said + ("" if matcher.found else matcher.finish()), matcher.found


def by_characters(stops: list[str], text: str) -> str:
    """What stands before the stop string that is complete first; the longest of those."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))]
    return text


@given(STOPS, PIECES)
def test_a_text_is_cut_in_the_same_place_however_it_comes(stops: list[str], pieces: list[str]) -> None:
    assert say(stops, pieces)[0] == by_characters(stops, "".join(pieces))


def test_only_what_may_become_a_stop_is_held_back() -> None:
    matcher = StopStrings(["END"])
    assert [matcher.add(piece) for piece in ("the E", "N", "d", "EN", "D more")] == [
        "the ",
        "",
        "ENd",
        "",
        "",
    ]
    assert matcher.found == "END"
    assert matcher.add("anything") == ""


def test_what_was_held_back_is_said_at_the_end() -> None:
    matcher = StopStrings(["END"])
    assert matcher.add("the EN") == "the "
    assert matcher.finish() == "EN"
    assert matcher.found is None
