"""Cuts a parsed document into passages that a model can take in whole.

Chunks follow headings and sentences and are sized in the model's own tokens. The document is tokenized
once; the tokens of any stretch are then counted by bisection. Pure; knows neither models nor storage.

Invariants: the chunks are ordered and disjoint, have no blank edges and hold every character that is not
blank. What is embedded for one (context, line break, text) and the special tokens fit into ``max_tokens``. A
sentence that fits into one chunk is never cut, nor is a table or code that the model can take.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.services.file_types import MARKDOWN_TYPES
from api.services.outline import Block, outline
from api.services.parse import Parsed
from api.services.ruler import Ruler, TokenSpans
from embedd.sentences import split_sentences

USUAL_TOKENS: Final = 128
"""Of a passage, where nobody asks for another size and the model takes as many: in articles an answer is
found sooner than with twice as many tokens, and what is said is as often right (bench/chunk_sizes.py).
"""

_ARROW = " > "
_LONGEST_TITLE = 120  # characters
_LONGEST_HEADING = 160
_CONTEXT_SHARE = 3  # the context takes at most one part in so many of the tokens
# A stretch on its own may have more tokens than inside the document: the line break behind the context, and
# a first word that has lost the blank before it.
_SLACK = 2
_TINY = 4  # a chunk below one part in so many of the budget is merged with a neighbour


@dataclass(frozen=True, slots=True)
class Chunk:
    """``text[start:end]`` of the document.

    ``page`` counts from 1 and is where the chunk begins; ``heading`` are the headings that all of it stands
    below, joined by `` > ``; ``tokens`` are its own; ``context`` is what to embed in front of it.
    """

    start: int
    end: int
    page: int | None
    heading: str
    tokens: int
    context: str = ""

    def embedded_text(self, document: str) -> str:
        """What the model gets to see for this chunk of ``document``."""
        body = document[self.start : self.end]
        return f"{self.context}\n{body}" if self.context else body


def passage_context(title: str, heading: str) -> str:
    """What tells a reader of a passage where it stands: title and headings, one line each, both cut short."""
    headings = heading.split(_ARROW)
    if headings[0] == title:  # as in most web pages
        del headings[0]
    below = _shortened(_ARROW.join(headings), _LONGEST_HEADING)
    return "\n".join(filter(None, (_shortened(title, _LONGEST_TITLE), below)))


def chunk(
    parsed: Parsed,
    tokenizer: TokenSpans,
    *,
    max_tokens: int,
    title: str = "",
    target_tokens: int | None = None,
) -> list[Chunk]:
    """The chunks of a document, in order.

    ``max_tokens`` is the model's limit, context and special tokens included; a chunk of text has no more
    than ``target_tokens`` of its own, or than is usual.
    """
    ruler = Ruler(parsed.text, tokenizer)
    room = _Room(tokenizer, max_tokens, title, target_tokens)
    blocks = outline(parsed.text, is_markdown=parsed.media_type in MARKDOWN_TYPES)
    pieces = [piece for section in _sections(blocks, ruler) for piece in _cut(section, ruler, room)]
    return [
        Chunk(
            start=piece.start,
            end=piece.end,
            page=bisect_right(parsed.page_starts, piece.start) or None,
            heading=_ARROW.join(piece.path),
            tokens=ruler.tokens(piece.start, piece.end),
            context=room.context(piece.path),
        )
        for piece in _merge_tiny(pieces, ruler, room)
    ]


_Path = tuple[str, ...]
_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Section:
    """What stands below the same headings, after the headings themselves."""

    path: _Path
    headings: Sequence[Block]
    body: list[Block]


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    path: _Path


class _Room:
    """How much a chunk may cost, given the headings it stands below."""

    def __init__(self, tokenizer: TokenSpans, max_tokens: int, title: str, target: int | None) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._title = title
        self._target = target or USUAL_TOKENS
        self._known: dict[_Path, tuple[str, int]] = {}

    def context(self, path: _Path) -> str:
        return self._of(path)[0]

    def limit(self, path: _Path) -> int:
        """What the model can take."""
        return self._of(path)[1]

    def budget(self, path: _Path) -> int:
        """What is asked for, of that."""
        return min(self._target, self.limit(path))

    def _of(self, path: _Path) -> tuple[str, int]:
        if path not in self._known:
            self._known[path] = self._measure(path)
        return self._known[path]

    def _measure(self, path: _Path) -> tuple[str, int]:
        context = passage_context(self._title, _ARROW.join(path))
        spans = self._tokenizer.spans(context)
        most = self._max_tokens // _CONTEXT_SHARE
        if len(spans) > most:
            context = context[: spans[most][0]].rstrip()
        left = self._max_tokens - self._tokenizer.special_tokens - _SLACK - min(len(spans), most)
        return context, max(1, left)


def _sections(blocks: Sequence[Block], ruler: Ruler) -> list[_Section]:
    """A heading without text of its own goes with what follows it."""
    sections: list[_Section] = []
    headings: list[Block] = []
    for block in blocks:
        if block.kind == "heading":
            headings.append(block)
        elif ruler.trimmed(block.start, block.end) is None:
            continue
        elif sections and not headings and sections[-1].path == block.path:
            sections[-1].body.append(block)
        else:
            sections.append(_Section(block.path, headings, [block]))
            headings = []
    if headings:
        sections.append(_Section(headings[-1].path, headings, []))
    return sections


def _cut(section: _Section, ruler: Ruler, room: _Room) -> list[_Piece]:
    budget, limit = room.budget(section.path), room.limit(section.path)
    units = [unit for block in section.body for unit in _units(block, ruler, budget, limit)]
    units = _behind_headings(section.headings, units, ruler, budget)
    return [_Piece(start, end, section.path) for start, end in _pack(units, ruler, budget)]


def _units(block: Block, ruler: Ruler, budget: int, limit: int) -> list[_Span]:
    """The stretches of a block that are not cut: a table or code that the model can take whole, else lines or
    sentences, else what fits.
    """
    if block.kind == "prose":
        body = ruler.text[block.start : block.end]
        parts = [(block.start + start, block.start + end) for start, end in split_sentences(body)]
    elif ruler.cost(block.start, block.end) <= limit:
        whole = ruler.trimmed(block.start, block.end)
        return [whole] if whole else []
    else:
        parts = _lines(ruler.text, block.start, block.end)
    trimmed = [span for part in parts if (span := ruler.trimmed(*part))]
    return [unit for span in trimmed for unit in ruler.parts(*span, budget)]


def _lines(text: str, start: int, end: int) -> list[_Span]:
    lines = []
    for line in text[start:end].splitlines(keepends=True):
        lines.append((start, start + len(line)))
        start += len(line)
    return lines


def _behind_headings(headings: Sequence[Block], units: list[_Span], ruler: Ruler, budget: int) -> list[_Span]:
    """Headings and the first unit become one where they fit: a heading at a chunk's end helps nobody."""
    above = [unit for heading in headings for unit in _units(heading, ruler, budget, budget)]
    if above and units and ruler.cost(above[0][0], units[0][1]) <= budget:
        return [(above[0][0], units[0][1]), *units[1:]]
    return above + units


def _pack(units: Sequence[_Span], ruler: Ruler, budget: int) -> list[_Span]:
    """Neighbouring units together, in as few stretches as fit ``budget`` and of about the same size."""
    packed: list[_Span] = []
    first = 0
    while first < len(units):
        end = _end_of_stretch(units, first, ruler, budget)
        packed.append((units[first][0], units[end - 1][1]))
        first = end
    return packed


def _end_of_stretch(units: Sequence[_Span], first: int, ruler: Ruler, budget: int) -> int:
    """The index behind the units that stay with ``first``: as near to a fair share as ``budget`` allows."""
    start = units[first][0]
    left = ruler.cost(start, units[-1][1])
    fair = left / -(-left // budget)
    size = ruler.cost(start, units[first][1])
    for end in range(first + 1, len(units)):
        with_next = ruler.cost(start, units[end][1])
        if with_next > budget or with_next - fair > fair - size:
            return end
        size = with_next
    return len(units)


def _merge_tiny(pieces: Sequence[_Piece], ruler: Ruler, room: _Room) -> list[_Piece]:
    """Tiny pieces join the next one, or else the one before, where the two fit together."""
    merged: list[_Piece] = []
    for piece in pieces:
        if merged and _is_tiny(merged[-1], ruler, room) and (both := _joined(merged[-1], piece, ruler, room)):
            merged[-1] = both
        else:
            _settle_last(merged, ruler, room)
            merged.append(piece)
    _settle_last(merged, ruler, room)
    return merged


def _settle_last(merged: list[_Piece], ruler: Ruler, room: _Room) -> None:
    """The last piece has found no one behind it: if it is tiny, it may go with the one before."""
    if len(merged) > 1 and _is_tiny(merged[-1], ruler, room):
        both = _joined(merged[-2], merged[-1], ruler, room)
        if both is not None:
            merged[-2:] = [both]


def _is_tiny(piece: _Piece, ruler: Ruler, room: _Room) -> bool:
    return ruler.cost(piece.start, piece.end) * _TINY < room.budget(piece.path)


def _joined(one: _Piece, other: _Piece, ruler: Ruler, room: _Room) -> _Piece | None:
    path = _common(one.path, other.path)
    fits = ruler.cost(one.start, other.end) <= room.budget(path)
    return _Piece(one.start, other.end, path) if fits else None


def _common(one: _Path, other: _Path) -> _Path:
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    return one[:same]


def _shortened(text: str, longest: int) -> str:
    """One line of at most ``longest`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[:longest].rstrip() + "…"
