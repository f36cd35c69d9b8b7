"""The structure of a text that its chunks should follow: headings, and blocks that lose their sense when cut.

Only Markdown has structure here; any other text is one stretch of prose. Pure.

Invariant: the blocks are ordered and disjoint and hold every character that is not blank.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

_LINE_END = re.compile(r"\r\n?|\n")  # markdown-it's own
_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n(?:.*\r?\n){0,100}?---[ \t]*(?:\r?\n|$)")
_KEPT_WHOLE = frozenset({"fence", "code_block", "table_open"})
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_TITLE_WITHIN = 20_000
_LONGEST_NAME = 200  # characters of a heading that are repeated with everything below it


@dataclass(frozen=True, slots=True)
class Block:
    """``text[start:end]``; ``path`` are the headings above it, outermost first, a heading's own included."""

    start: int
    end: int
    kind: Literal["prose", "whole", "heading"]
    path: tuple[str, ...] = ()


def outline(text: str, *, is_markdown: bool) -> list[Block]:
    """The blocks of ``text``, in order."""
    return list(_markdown_blocks(text)) if is_markdown else [Block(0, len(text), "prose")]


def markdown_title(text: str) -> str | None:
    """The first heading of the first level near the top."""
    for block in outline(text[:_TITLE_WITHIN], is_markdown=True):
        if (
            block.kind == "heading"
            and len(block.path) == 1
            and _is_first_level(text[block.start : block.end])
        ):
            return block.path[0] or None
    return None


def _is_first_level(heading: str) -> bool:
    return heading.lstrip().startswith("# ") or heading.rstrip().endswith("=")


def _markdown_blocks(text: str) -> Iterator[Block]:
    """The marked blocks, and as prose whatever lies between them."""
    front_matter = _FRONT_MATTER.match(text)
    at = front_matter.end() if front_matter else 0
    if at:
        yield Block(0, at, "prose")
    path: tuple[str, ...] = ()
    for block in _marked_blocks(text, at):
        if block.start > at:
            yield Block(at, block.start, "prose", path)
        if block.kind == "heading":
            path = block.path
        yield Block(block.start, block.end, block.kind, path)
        at = block.end
    if at < len(text):
        yield Block(at, len(text), "prose", path)


def _marked_blocks(text: str, start: int) -> Iterator[Block]:
    """Headings, fences and tables that stand at the outermost level from ``start`` on."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - a service starts sooner without its 62 modules
    from markdown_it.token import Token  # noqa: PLC0415

    tokens = MarkdownIt("commonmark").enable("table").disable("inline").parse(text[start:])
    lines = [start, *(match.end() for match in _LINE_END.finditer(text, start)), len(text)]
    levels: list[tuple[int, str]] = []
    for token, following in pairwise([*tokens, Token("end", "", 0)]):
        if token.level or token.map is None:
            continue
        first, last = (lines[min(line, len(lines) - 1)] for line in token.map)
        if token.type == "heading_open":
            level = int(token.tag.removeprefix("h"))
            levels = [above for above in levels if above[0] < level]
            levels.append((level, _plain(following.content)))
            yield Block(first, last, "heading", tuple(name for _, name in levels))
        elif token.type in _KEPT_WHOLE:
            yield Block(first, last, "whole")


def _plain(heading: str) -> str:
    """A heading's words without links and emphasis; their beginning, if it is no heading but a paragraph."""
    return " ".join(_EMPHASIS.sub("", _LINK.sub(r"\1", heading)).split())[:_LONGEST_NAME]
