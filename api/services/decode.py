"""Bytes of a text file to its characters, as far as its encoding is known.

A byte order mark decides, then the charset that the sender named, then UTF-8. What is none of it is left to
``extraction.guess``, in a process of its own, because guessing is work.
"""

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
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


class UndecodableText(Exception):
    """The bytes are no text in any encoding that is known of them; the message says what to do."""


class UnknownEncoding(UndecodableText):
    """They are not UTF-8, and nobody said what else."""


def decode_text(data: bytes, charset: str | None = None) -> str:
    """The characters of ``data`` without a byte order mark; line ends stay as they are.

    Raises:
        UnknownEncoding: not UTF-8, without a mark or a named charset; or with null bytes.
        UndecodableText: in an unknown encoding, or not in the one named.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_strictly(data, encoding)
    if charset:
        return _decode_strictly(data, charset)
    if b"\0" in data:
        raise UnknownEncoding("is a binary file, not text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UnknownEncoding(f"is not UTF-8 ({error}): save it as UTF-8 or name its charset") from error


def canonical(charset: str) -> str:
    """The name of the codec for ``charset``, or for the superset that browsers read under its name.

    Raises:
        LookupError: there is none, or it is no charset.
    """
    codec = codecs.lookup(charset).name
    if codec in _NO_CHARSETS:
        raise LookupError(charset)
    return _SUPERSETS.get(codec, codec)


def _decode_strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(canonical(encoding))
    except LookupError as error:
        raise UndecodableText(f"names the unknown charset {encoding!r}: save it as UTF-8") from error
    except ValueError as error:
        raise UndecodableText(f"is not in the encoding it claims, {encoding}: {error}") from error
