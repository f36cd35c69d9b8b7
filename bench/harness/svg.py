"""A plot of horizontal bars as SVG, in groups, each with its own scale. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

WIDTH, LABELS, VALUES = 760, 190, 90
BAR, STEP, HEADING, MARGIN = 18, 26, 40, 16
FONT = "font-family='system-ui, sans-serif'"
COLOURS = {"ours": "#2a6fb0", "other": "#9aa5b1", "floor": "#e3e7eb"}


@dataclass(frozen=True, slots=True)
class Bar:
    """``kind`` says whose it is: the project's, another's, or a bound that nobody reaches."""

    label: str
    value: float
    kind: Literal["ours", "other", "floor"]


@dataclass(frozen=True, slots=True)
class Group:
    """Bars of one quantity, as long as they are large against the largest."""

    title: str
    bars: Sequence[Bar]


def plot(groups: Sequence[Group]) -> str:
    """The whole file."""
    parts, y = [], MARGIN
    for group in groups:
        parts.append(text(MARGIN, y + 20, group.title, "font-weight='600' font-size='15'"))
        y += HEADING
        largest = max(bar.value for bar in group.bars)
        for bar in group.bars:
            parts.append(bar_of(bar, y, bar.value / largest))
            y += STEP
        y += MARGIN
    size = f"width='{WIDTH}' height='{y}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} viewBox='0 0 {WIDTH} {y}' {FONT}>"
    return "\n".join([head, f"<rect {size} fill='#ffffff'/>", *parts, "</svg>", ""])


def bar_of(bar: Bar, y: int, share: float) -> str:
    """Label, bar and value."""
    length = round(share * (WIDTH - LABELS - VALUES - MARGIN), 1)
    baseline = y + BAR - 5
    return "\n".join(
        [
            text(LABELS - 8, baseline, bar.label, "text-anchor='end' font-size='13'"),
            f"<rect x='{LABELS}' y='{y}' width='{length}' height='{BAR}' rx='2' fill='{COLOURS[bar.kind]}'/>",
            text(LABELS + length + 8, baseline, f"{bar.value:,.0f}", "font-size='13'"),
        ]
    )


def text(x: float, y: float, content: str, style: str) -> str:
    return f"<text x='{x:g}' y='{y:g}' fill='#1f2933' {style}>{escape(content)}</text>"
