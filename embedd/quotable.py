"""The sentences of passages that are worth quoting.

Headings and questions are no answers, but a heading speaks for all that stands below it, a question for the
sentence behind it. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embedd.sentences import split_sentences

_CODE_SIGNS = 3  # brackets and operators, so that prose with a link or a formula stays
_CODE_SHARE = 0.06
_QUESTION_MARKS = "?？؟"  # noqa: RUF001 - of three scripts
_HEADING = re.compile(r"#{1,6}[ \t]+")
_NO_PROSE = re.compile(r"```|~~~|[\W_]*$")
_CODE = re.compile(r"[{}\[\]<>=|$\\]")
_MARKER = re.compile(r"(?:(?:[-*+•‣◦]|\(?\d{1,3}[.)]|>)\s+)+")
_WORD = re.compile(r"\w+")

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sentence:
    """``passages[passage][start:end]``, and what ``above`` it is about the same."""

    passage: int
    start: int
    end: int
    above: tuple[Span, ...]


def quotable(passages: Sequence[str]) -> Iterator[Sentence]:
    """Every sentence worth quoting, once, in order; the same words are the same sentence."""
    seen: set[str] = set()
    for passage, text in enumerate(passages):
        heading: tuple[Span, ...] = ()
        asked: tuple[Span, ...] = ()
        for start, end in split_sentences(text):
            if marker := _HEADING.match(text, start, end):
                heading, asked = ((marker.end(), end),), ()
            elif text[end - 1] in _QUESTION_MARKS:
                asked = ((start, end),)
            else:
                begin = _without_marker(text, start, end)
                words = " ".join(_WORD.findall(text[begin:end].lower()))
                if _is_prose(text, begin, end) and words not in seen:
                    seen.add(words)
                    yield Sentence(passage, begin, end, heading + asked)
                asked = ()


def _without_marker(text: str, start: int, end: int) -> int:
    marker = _MARKER.match(text, start, end)
    return marker.end() if marker else start


def _is_prose(text: str, start: int, end: int) -> bool:
    """Not a fence, a rule, or a piece of program or data, which answers nobody in the middle of a text."""
    sentence = text[start:end]
    signs = len(_CODE.findall(sentence))
    is_code = signs >= _CODE_SIGNS and signs + sentence.count('"') > _CODE_SHARE * len(sentence)
    return not is_code and _NO_PROSE.match(sentence) is None
