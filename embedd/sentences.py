"""Finds the sentences of a text.

Pure, one pass, linear in the length of the text whatever it holds. Rules instead of a model: terminators
followed by a blank, minus abbreviations, initials and list numbers; CJK full stops anywhere; blank lines,
headings, fences, list items and table rows as hard borders. It knows English abbreviations only: in other
languages one may end a sentence too early, which costs a quotation half a sentence and nothing else.

Invariants: the spans are ordered and disjoint, neither begin nor end with a blank, and hold every character
that is not blank.
"""
# Punctuation of many scripts is what this file is about, and word lists read better as one string:
# ruff: noqa: RUF001, SIM905

import re
from collections.abc import Iterator

# One alternative each: an ordinary terminator with what closes behind it, a full stop of a script that puts
# no blank after it, and a line break with all blanks behind it. Everything is consumed and nothing given
# back (possessive quantifiers), so that "......" and ")))))" stay linear.
_BORDER = re.compile(
    r"(?P<stop>[.!?…؟۔।॥։።။។]++[\"'”’»)\]*_]*+)"
    r"|(?P<wide>[。！？｡]++[”’」』）】〉》]*+)"
    r"|(?P<line>[\n\r\f\v\x85\u2028\u2029]\s*+)"
)
_LINE_OPENS_BLOCK = re.compile(r"(?:[-*+•‣◦][ \t]|\(?\d{1,3}[.)][ \t]|#{1,6}[ \t]|\||>|```|~~~)")
_LINE_IS_BLOCK = re.compile(r"[ \t]*(?:#{1,6}[ \t]|```|~~~)")
_LIST_NUMBER = re.compile(r"[ \t]*\(?\d{1,3}\.")
_LAST_WORD = re.compile(r"[^\W\d_](?:\.?[^\W\d_])*$")
_NEXT_WORD = re.compile(r"\s*+[\"'“‘«(\[*_]*+(\w*)")
_LONGEST_ABBREVIATION = 16

# A hard-wrapped text has no line this long, so behind one a line break ends a paragraph.
_WRAPPED_LINE = 160

_BEFORE_A_NAME = frozenset(
    "mr mrs ms dr prof rev hon st gen col maj capt lt sgt cmdr adm gov sen rep pres supt messrs mme mlle "
    "e.g i.e cf vs viz approx ca resp incl esp mt".split()
)
_BEFORE_A_NUMBER = frozenset(
    "no nos fig figs eq eqs sec sect ch chap vol p pp art ref refs tab app par ver v ed "
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
# These may end a sentence, and do where a word follows that rarely goes on with a name.
_MAYBE_LAST = frozenset(
    "etc inc ltd co corp bros ft jr sr al u.s u.k u.n e.u u.s.a d.c a.m p.m b.c a.d ph.d m.d b.a m.a".split()
)
_OPENERS = frozenset(
    "the a an in on at by for from with as if it its he she they we you i his her their our this that these "
    "those there then when while where what who why how and but or so yet however although though after "
    "before since because during some many most all each both no not one two according".split()
)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of ``text`` as code-point spans ``[start, end)``, in order, no blanks at their edges."""
    spans: list[tuple[int, int]] = []
    start = 0
    for border in _borders(text):
        _append_trimmed(spans, text, start, border)
        start = border
    _append_trimmed(spans, text, start, len(text))
    return spans


def _append_trimmed(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    kept = piece.strip()
    if kept:
        first = start + len(piece) - len(piece.lstrip())
        spans.append((first, first + len(kept)))


def _borders(text: str) -> Iterator[int]:
    """The offsets at which one sentence ends, ascending."""
    line_start = 0
    for match in _BORDER.finditer(text):
        if match.lastgroup == "wide":
            yield match.end()
        elif match.lastgroup == "line":
            if _line_break_is_border(text, line_start, match):
                yield match.end()
            line_start = match.end()
        elif _stop_is_border(text, line_start, match):
            yield match.end()


def _line_break_is_border(text: str, line_start: int, match: re.Match[str]) -> bool:
    if len(match[0].rstrip(" \t").splitlines()) > 1:
        return True
    return (
        match.start() - line_start > _WRAPPED_LINE
        or _LINE_OPENS_BLOCK.match(text, match.end()) is not None
        or _LINE_IS_BLOCK.match(text, line_start) is not None
        or _looks_like_title(text, line_start, match)
    )


def _looks_like_title(text: str, line_start: int, match: re.Match[str]) -> bool:
    """Whether the line stands alone: far shorter than the next one, which begins like a sentence."""
    opener = text[match.end() : match.end() + 1]
    width = match.start() - line_start
    if not (opener.isupper() and width and text[match.start() - 1].isalnum()):
        return False
    following = text[match.end() : match.end() + 2 * width + 1]
    return len(following) > 2 * width and len(following.splitlines()) == 1


def _stop_is_border(text: str, line_start: int, match: re.Match[str]) -> bool:
    end = match.end()
    if end < len(text) and not text[end].isspace():
        return False
    following = _NEXT_WORD.match(text, end)
    assert following is not None, "every part of the pattern is optional"
    word = following[1]
    if word[:1].islower():
        return False
    return match[0] != "." or not _stop_abbreviates(text, line_start, match.start(), word)


def _stop_abbreviates(text: str, line_start: int, stop: int, word: str) -> bool:
    if stop - line_start <= len("(999") and _LIST_NUMBER.fullmatch(text, line_start, stop + 1):
        return True
    last = _LAST_WORD.search(text, max(line_start, stop - _LONGEST_ABBREVIATION), stop)
    if last is None:
        return False
    name = last[0].lower()
    if name in _BEFORE_A_NAME:
        return True
    if name in _BEFORE_A_NUMBER and word[:1].isdigit():
        return True
    is_initial = len(name) == 1 and last[0].isupper()
    return (is_initial or name in _MAYBE_LAST) and bool(word) and word.lower() not in _OPENERS
