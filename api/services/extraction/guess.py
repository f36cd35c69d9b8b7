"""Bytes of text in an encoding that nobody named and that is not UTF-8.

chardet weighs every encoding's letters against the languages written in it. Where it is unsure and most of
the text is ASCII, as in western European prose, it is windows-1252: the commonest, and a superset of Latin-1.
"""

import codecs
import re

import chardet

from api.services.decode import UndecodableText, UnknownEncoding, canonical, decode_text

_FALLBACK = "windows-1252"
# In a page's head, or in the first line of XML.
_NAMED_INSIDE = re.compile(
    rb"<(?:meta[^>]{0,200}?charset|\?xml[^>]{0,200}?encoding)\s*=\s*[\"']?([a-z0-9_.:-]+)", re.IGNORECASE
)
_NAMED_WITHIN = 4096
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_SAMPLE_BYTES = 65_536
_BEFORE_SAMPLE_BYTES = 1_024
_UNSURE = 0.2
# The share of bytes beyond ASCII: French prose has 0.04, text in another script over 0.5.
_MOST_ACCENTED = 0.2
# Letters for one broken byte: what is damaged UTF-8 has thousands, another encoding next to none.
_WHOLE_FOR_BROKEN = 10


def decode_any(data: bytes, charset: str | None = None) -> str:
    """As ``decode_text``, in whatever encoding.

    Raises:
        UndecodableText: binary, or not in the encoding that was named.
    """
    try:
        return decode_text(data, charset)
    except UnknownEncoding:
        return _damaged_utf_8(data) or _decode_guessed(data)


def decode_html(data: bytes, charset: str | None = None) -> str:
    """As ``decode_any``, but a page may name its own charset, and like in a browser nothing is refused."""
    try:
        return decode_any(data, charset or _named_inside(data))
    except UndecodableText:
        return data.decode(_FALLBACK, "replace")


def _damaged_utf_8(data: bytes) -> str | None:
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text if beyond_ascii - broken >= broken * _WHOLE_FOR_BROKEN and "\0" not in text else None


def _decode_guessed(data: bytes) -> str:
    for encoding in _candidates(data):
        try:
            text = data.decode(encoding)
        except ValueError:
            continue
        if "\0" not in text:
            return text
    raise UndecodableText("is not UTF-8, and no other encoding fits: save it as UTF-8 or name its charset")


def _candidates(data: bytes) -> list[str]:
    if (named := _named_inside(data)) is not None:
        return [named]
    sample = _sample(data)
    guess = chardet.detect(sample)
    encoding = guess["encoding"]
    if encoding is None:
        raise UndecodableText("is a binary file, not text")
    guessed = canonical(encoding)
    accented = len(_NOT_ASCII.findall(sample))
    if accented > _MOST_ACCENTED * len(sample):
        return [guessed]
    unsure = (guess["confidence"] or 0.0) < _UNSURE
    return [_FALLBACK, guessed] if unsure else [guessed, _FALLBACK]


def _sample(data: bytes) -> bytes:
    """From where it stops being ASCII; from its beginning if two bytes may be one character."""
    first = _NOT_ASCII.search(data)
    start = 0 if first is None or b"\0" in data else max(0, first.start() - _BEFORE_SAMPLE_BYTES)
    return data[start : start + _SAMPLE_BYTES]


def _named_inside(data: bytes) -> str | None:
    named = _NAMED_INSIDE.search(data, 0, _NAMED_WITHIN)
    if named is None:
        return None
    try:
        return codecs.lookup(canonical(named[1].decode("ascii"))).name
    except LookupError:
        return None
