"""Which kind of document a file is.

What its first bytes say beyond doubt counts most: names and media types are often wrong, magic numbers never.
Then the type it was sent with, then its name, then whether it looks like a web page. Office documents and
older binary ones are containers: which of them it is, its reader sees inside.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "text",
    "markdown",
    "html",
    "pdf",
    "docx",
    "pptx",
    "xlsx",
    "xls",
    "odt",
    "odp",
    "ods",
    "csv",
    "tsv",
    "epub",
    "eml",
    "msg",
    "rtf",
    "ipynb",
]
Container: TypeAlias = Literal["zip", "ole"]
"""A file of files: ZIP, or the older OLE2 (MS-CFB)."""

MEDIA_TYPES: Final[dict[Kind, str]] = {
    "text": "text/plain",
    "markdown": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "xls": "application/vnd.ms-excel",
    "odt": "application/vnd.oasis.opendocument.text",
    "odp": "application/vnd.oasis.opendocument.presentation",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "epub": "application/epub+zip",
    "eml": "message/rfc822",
    "msg": "application/vnd.ms-outlook",
    "rtf": "application/rtf",
    "ipynb": "application/x-ipynb+json",
}
_PLAIN: Final[frozenset[Kind]] = frozenset({"text", "pdf", "eml", "msg", "rtf"})
MARKDOWN_TYPES: Final = frozenset(MEDIA_TYPES[kind] for kind in MEDIA_TYPES if kind not in _PLAIN)
"""The media types of documents whose text is Markdown once they are read."""

SUPPORTED = (
    "plain text, Markdown, HTML, PDF, docx, pptx, xlsx, xls, odt, odp, ods, csv, tsv, epub, eml, msg, "
    "rtf or ipynb"
)
SNIFFED_BYTES = 1024

_BY_MEDIA_TYPE: Final[dict[str, Kind]] = {
    **{media_type: kind for kind, media_type in MEDIA_TYPES.items()},
    **{kind: kind for kind in MEDIA_TYPES},  # the name of a format is as good
    "text/x-markdown": "markdown",
    "application/xhtml+xml": "html",
    "application/x-pdf": "pdf",
    "application/csv": "csv",
    "text/rtf": "rtf",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsx",
    "application/vnd.ms-excel.sheet.macroenabled.12": "xlsx",
    "application/vnd.ms-word.document.macroenabled.12": "docx",
    "application/vnd.ms-powerpoint.presentation.macroenabled.12": "pptx",
    **dict.fromkeys(("application/json", "application/xml", "application/x-ndjson"), "text"),
    **dict.fromkeys(("application/yaml", "application/toml"), "text"),
}
_BY_EXTENSION: Final[dict[str, Kind]] = {
    **{f".{kind}": kind for kind in MEDIA_TYPES if kind not in {"text", "markdown"}},
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd"), "markdown"),
    **dict.fromkeys((".htm", ".xhtml"), "html"),
    **dict.fromkeys((".docm", ".dotx", ".dotm"), "docx"),
    **dict.fromkeys((".pptm", ".ppsx", ".potx"), "pptx"),
    **dict.fromkeys((".xlsm", ".xlsb", ".xltx"), "xlsx"),
    ".xlt": "xls",
    ".ott": "odt",
    ".otp": "odp",
    ".ots": "ods",
    ".tab": "tsv",
    **dict.fromkeys((".txt", ".text", ".log", ".rst", ".json", ".jsonl", ".xml", ".yaml", ".yml"), "text"),
}
EXTENSIONS: Final = frozenset(_BY_EXTENSION)
"""Those of the files that can be read."""

# Their content would pass for text, or be refused with a less helpful reason.
_WITHOUT_READER: Final = frozenset({".doc", ".dot", ".ppt", ".pps", ".zip", ".7z", ".rar", ".gz", ".tar"})
# Sent by clients that do not know what they send.
_NO_MEDIA_TYPES: Final = frozenset({"", "application/octet-stream", "binary/octet-stream", "*/*"})
_HTML: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_MAGIC: Final[dict[bytes, Kind | Container]] = {
    b"%PDF-": "pdf",
    b"{\\rtf": "rtf",
    b"PK\x03\x04": "zip",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "ole",
}
# What is none of these by its first bytes is either damaged or really a web page, as many an .xls is.
_BINARY: Final[frozenset[Kind]] = frozenset(
    {"pdf", "docx", "pptx", "xlsx", "xls", "odt", "odp", "ods", "epub", "msg", "rtf"}
)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileType:
    """``charset`` is the one that the sender named, if any."""

    kind: Kind | Container
    charset: str | None = None


class UnsupportedType(Exception):
    """There is no reader for such files; the message names the type and those that can be read."""


def detect_type(head: bytes, media_type: str | None, filename: str | None) -> FileType:
    """The type of a file that begins with ``head`` (``SNIFFED_BYTES`` are enough).

    Raises:
        UnsupportedType: by the media type, the extension or the first bytes there is no reader for it.
    """
    essence, parameters = _split(media_type or "")
    charset = _CHARSET.search(parameters)
    kind = _kind_by_magic(head) or _declared_kind(essence, filename, head)
    return FileType(kind, charset[1] if charset else None)


def _split(media_type: str) -> tuple[str, str]:
    essence, separator, parameters = media_type.partition(";")
    return essence.strip().lower(), separator + parameters


def _kind_by_magic(head: bytes) -> Kind | Container | None:
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def _declared_kind(essence: str, filename: str | None, head: bytes) -> Kind:
    looks_like_html = _HTML.match(head) is not None
    kind = _kind_by_name(filename) if essence in _NO_MEDIA_TYPES else _kind_by_media_type(essence)
    if kind is None:
        # A PDF may have other bytes before its own.
        return "html" if looks_like_html else "pdf" if b"%PDF-" in head else "text"
    return "html" if looks_like_html and kind in _BINARY else kind


def _kind_by_media_type(essence: str) -> Kind:
    if known := _BY_MEDIA_TYPE.get(essence):
        return known
    if essence.startswith("text/"):
        return "text"
    raise UnsupportedType(f"files of type {essence} cannot be read: send {SUPPORTED}")


def _kind_by_name(filename: str | None) -> Kind | None:
    """None where the name says nothing, so that the content decides."""
    extension = PurePath(filename or "").suffix.lower()
    if extension in _WITHOUT_READER:
        raise UnsupportedType(f"{extension} files cannot be read: send {SUPPORTED}")
    return _BY_EXTENSION.get(extension)
