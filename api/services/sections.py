"""The section around a stretch of a text: whole paragraphs on both sides, up to the next heading. Pure."""

import re

_PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*")
_HEADING = re.compile(r"#{1,6}[ \t]")


def section_around(text: str, start: int, end: int, most: int) -> tuple[int, int]:
    """``[start, end)`` with as many paragraphs around it, in turns, as make at most ``most`` code points.

    A heading above belongs to it and ends it; one below ends it. Without blanks at its edges.
    """
    above, below = _starts_above(text, start, most), _ends_below(text, end, most)
    while above or below:
        for side in (above, below):
            if side:
                first, last = (side.pop(0), end) if side is above else (start, side.pop(0))
                if last - first > most:
                    side.clear()
                else:
                    start, end = first, last
    return start, end


def _starts_above(text: str, start: int, most: int) -> list[int]:
    """Where the paragraphs before ``start`` begin, the nearest first, up to a heading."""
    first = max(0, start - most)
    borders = [match.end() for match in _PARAGRAPH_END.finditer(text, first, start)]
    if first == 0 and text[:start].strip():
        borders.insert(0, len(text) - len(text.lstrip()))
    starts: list[int] = []
    if _HEADING.match(text, start):
        return starts
    for border in reversed(borders):
        if border < start:
            starts.append(border)
        if _HEADING.match(text, border):
            break
    return starts


def _ends_below(text: str, end: int, most: int) -> list[int]:
    """Where the paragraphs behind ``end`` end, the nearest first, up to a heading."""
    last = min(len(text), end + most)
    ends: list[int] = []
    at = end
    for match in _PARAGRAPH_END.finditer(text, end, last):
        if text[at : match.start()].strip():
            ends.append(match.start())
        at = match.end()
        if _HEADING.match(text, at):
            return ends
    if last == len(text) and text[at:].strip():
        ends.append(len(text.rstrip()))
    return ends
