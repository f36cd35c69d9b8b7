"""Two columns of prose on a page of a PDF whose lines were written across both, as some printers do.

The order of a PDF's content is mostly that of reading, so it is only changed where it clearly is not: lines
as long as a column on both sides of a gap, written from side to side. Tables look alike but have short cells.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TypeAlias

import pypdfium2

_Box: TypeAlias = tuple[float, float, float, float]
"""Left, bottom, right and top, in points from the lower left corner of the page."""

_FEWEST_LINES = 6
_NARROWEST = 0.3
"""Of a line, as a share of the width of all text."""
_FEWEST_SWITCHES = 0.5
"""Between the sides, for each line of the shorter column."""
_MOST_LINES = 2_000
_MARGIN = 1.0


@dataclass(frozen=True, slots=True)
class _Columns:
    left: list[_Box]
    right: list[_Box]
    across: list[_Box]


def text_in_columns(textpage: pypdfium2.PdfTextPage) -> str | None:
    """The text with the left column before the right one; None for a page that is best read as it is."""
    count = textpage.count_rects()
    if not 2 * _FEWEST_LINES <= count <= _MOST_LINES:
        return None
    boxes: list[_Box] = [textpage.get_rect(number) for number in range(count)]
    columns = _columns(boxes)
    if columns is None or not _are_interleaved(columns, boxes):
        return None
    return _read(textpage, columns)


def _columns(boxes: list[_Box]) -> _Columns | None:
    """Both columns, if what goes across the gap between them stands above or below them."""
    first, last = min(box[0] for box in boxes), max(box[2] for box in boxes)
    middle = (first + last) / 2
    left = [box for box in boxes if box[2] <= middle]
    right = [box for box in boxes if box[0] >= middle]
    across = [box for box in boxes if box[0] < middle < box[2]]
    if min(len(left), len(right)) < _FEWEST_LINES:
        return None
    narrowest = min(median(box[2] - box[0] for box in side) for side in (left, right))
    bottom, top = _bottom_and_top(left + right)
    beside = any(bottom < (box[1] + box[3]) / 2 < top for box in across)
    return None if beside or narrowest < _NARROWEST * (last - first) else _Columns(left, right, across)


def _are_interleaved(columns: _Columns, boxes: list[_Box]) -> bool:
    left, across = set(columns.left), set(columns.across)
    sides = [box in left for box in boxes if box not in across]
    switches = sum(one != other for one, other in pairwise(sides))
    return switches >= _FEWEST_SWITCHES * min(len(columns.left), len(columns.right))


def _read(textpage: pypdfium2.PdfTextPage, columns: _Columns) -> str:
    bottom, _ = _bottom_and_top(columns.left + columns.right)
    above = [box for box in columns.across if box[1] >= bottom]
    below = [box for box in columns.across if box[1] < bottom]
    parts = (_text_in(textpage, part) for part in (above, columns.left, columns.right, below) if part)
    return "\n".join(parts)


def _text_in(textpage: pypdfium2.PdfTextPage, boxes: list[_Box]) -> str:
    bottom, top = _bottom_and_top(boxes)
    left, right = min(box[0] for box in boxes), max(box[2] for box in boxes)
    bounds = (left - _MARGIN, bottom - _MARGIN, right + _MARGIN, top + _MARGIN)
    text: str = textpage.get_text_bounded(*bounds)
    return text


def _bottom_and_top(boxes: list[_Box]) -> tuple[float, float]:
    return min(box[1] for box in boxes), max(box[3] for box in boxes)
