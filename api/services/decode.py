"""Bytes of a text file to its characters.

A byte order mark decides, then the charset that the sender named, then UTF-8. What is not UTF-8 is taken as
windows-1252 (the commonest other encoding, and a superset of Latin-1) where most of it is ASCII, as in
western European prose; elsewhere that guess would store nonsense without a word, so it is refused instead.
"""

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FALLBACK = "windows-1252"
# Escapes, not charsets; they can bring lone surrogates, which are no text.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})
# Labels that stand for a superset of what they say: https://encoding.spec.whatwg.org/#names-and-labels
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([a-z0-9_.:-]+)", re.IGNORECASE)
_META_WITHIN = 4096
_MOST_ACCENTED = (
    0.2  # the share of bytes beyond ASCII; French prose has 0.04, text in another script over 0.5
)


class UndecodableText(Exception):
    """The bytes are no text in any encoding that is known of them; the message says what to do."""


def decode_text(data: bytes, charset: str | None = None) -> str:
    """The characters of ``data`` without a byte order mark; line ends stay as they are.

    Raises:
        UndecodableText: binary, in an unknown encoding, or not in the one named.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_strictly(data, encoding)
    if charset:
        return _decode_strictly(data, charset)
    if b"\0" in data:
        raise UndecodableText("is a binary file, not text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return _decode_as_fallback(data, error)


def decode_html(data: bytes, charset: str | None = None) -> str:
    """As ``decode_text``, but a page may name its own charset, and like in a browser nothing is refused."""
    try:
        return decode_text(data, charset or _named_in_page(data))
    except UndecodableText:
        return data.decode(_FALLBACK, "replace")


def _named_in_page(data: bytes) -> str | None:
    named = _META_CHARSET.search(data, 0, _META_WITHIN)
    if named is None:
        return None
    try:
        return _codec(named[1].decode("ascii"))
    except LookupError:
        return None


def _decode_strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(_codec(encoding))
    except LookupError as error:
        raise UndecodableText(f"names the unknown charset {encoding!r}: save it as UTF-8") from error
    except ValueError as error:
        raise UndecodableText(f"is not in the encoding it claims, {encoding}: {error}") from error


def _codec(charset: str) -> str:
    codec = codecs.lookup(charset).name
    if codec in _NO_CHARSETS:
        raise LookupError(charset)
    return _SUPERSETS.get(codec, codec)


def _decode_as_fallback(data: bytes, cause: UnicodeDecodeError) -> str:
    beyond_ascii = len(data) - len(data.decode("ascii", "ignore"))
    if beyond_ascii <= _MOST_ACCENTED * len(data):
        try:
            return data.decode(_FALLBACK)
        except UnicodeDecodeError:
            pass
    raise UndecodableText(
        f"is not UTF-8 (byte {cause.start}) and its encoding is not known: "
        "save it as UTF-8 or name its charset"
    ) from cause
