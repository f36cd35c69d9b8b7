"""Texts as PostgreSQL can keep them, which is all of Unicode but U+0000, and places among ids.

U+0000 becomes two control characters, the first of which is doubled where a text has it itself. Nobody types
either, and to words both are gaps.
"""

import re
from collections.abc import Iterable
from typing import Final

from index.codec import is_unicode

_MARK: Final = "\x1a"
_NUL: Final = "\x1a\x01"
_MARKED: Final = re.compile("\x1a([\x1a\x01])")
_NOT_IN_IDS: Final = re.compile("[\0\ud800-\udfff]")


def encode_text(text: str) -> str:
    """The text that stands for ``text``, nearly always itself."""
    if "\0" in text or _MARK in text:
        return text.replace(_MARK, _MARK * 2).replace("\0", _NUL)
    return text


def decode_text(text: str) -> str:
    """What ``encode_text`` was given."""
    if _MARK in text:
        return _MARKED.sub(lambda match: _MARK if match[1] == _MARK else "\0", text)
    return text


def encode_optional(text: str | None) -> str | None:
    """As ``encode_text``, of what may be missing."""
    return None if text is None else encode_text(text)


def decode_optional(text: str | None) -> str | None:
    """As ``decode_text``, of what may be missing."""
    return None if text is None else decode_text(text)


def askable(ids: Iterable[str]) -> list[str]:
    """Those of ``ids`` that anything can have; PostgreSQL would not take the others."""
    return [id_ for id_ in ids if "\0" not in id_ and is_unicode(id_)]


def first_behind(place: str | None) -> str:
    """What the ids behind ``place``, any text, are not below of, in the order of code points."""
    if place is None:
        return ""
    odd = _NOT_IN_IDS.search(place)
    if odd is not None and odd[0] != "\0":
        return f"{place[: odd.start()]}\ue000"
    # Ids have no control characters: the least that follows a text begins with it and goes on with a blank.
    return f"{place[: odd.start()] if odd else place}\x01"
