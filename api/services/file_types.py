"""Which kind of document a file is: by the type it was sent with, else its name, else its first bytes."""

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Kind = Literal["text", "markdown", "html", "pdf"]

MEDIA_TYPES: dict[Kind, str] = {
    "text": "text/plain",
    "markdown": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
}
SUPPORTED = "plain text, Markdown, HTML or PDF"
SNIFFED_BYTES = 1024

_BY_MEDIA_TYPE: dict[str, Kind] = {
    **{media_type: kind for kind, media_type in MEDIA_TYPES.items()},
    **{kind: kind for kind in MEDIA_TYPES},  # the name of a format is as good
    "text/x-markdown": "markdown",
    "application/xhtml+xml": "html",
    "application/x-pdf": "pdf",
    "application/json": "text",
    "application/xml": "text",
    "application/x-ndjson": "text",
    "application/yaml": "text",
    "application/toml": "text",
}
_BY_EXTENSION: dict[str, Kind] = {
    **dict.fromkeys((".md", ".markdown", ".mdown", ".mkd"), "markdown"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".pdf": "pdf",
    **dict.fromkeys(
        (".txt", ".text", ".log", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml"), "text"
    ),
}
# Their content would pass for text, or be refused with a less helpful reason.
_WITHOUT_READER = frozenset(
    {
        *(".doc", ".docx", ".eml", ".epub", ".msg", ".odp", ".ods", ".odt", ".ppt", ".pptx", ".rtf"),
        *(".xls", ".xlsx", ".zip"),
    }
)
# Sent by clients that do not know what they send.
_NO_MEDIA_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream", "*/*"})
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileType:
    """``charset`` is the one that the sender named, if any."""

    kind: Kind
    charset: str | None = None


class UnsupportedType(Exception):
    """There is no reader for such files; the message names the type and those that can be read."""


def detect_type(head: bytes, media_type: str | None, filename: str | None) -> FileType:
    """The type of a file that begins with ``head`` (``SNIFFED_BYTES`` are enough).

    Raises:
        UnsupportedType: the media type, the extension or the first bytes are of a type without a reader.
    """
    essence, parameters = _split(media_type or "")
    charset = _CHARSET.search(parameters)
    if essence in _NO_MEDIA_TYPES:
        kind = _kind_by_name(filename) or _kind_by_content(head)
    else:
        kind = _kind_by_media_type(essence)
    return FileType(kind, charset[1] if charset else None)


def _split(media_type: str) -> tuple[str, str]:
    essence, separator, parameters = media_type.partition(";")
    return essence.strip().lower(), separator + parameters


def _kind_by_media_type(essence: str) -> Kind:
    if known := _BY_MEDIA_TYPE.get(essence):
        return known
    if essence.startswith("text/"):
        return "text"
    raise UnsupportedType(f"files of type {essence} cannot be read yet: send {SUPPORTED}")


def _kind_by_name(filename: str | None) -> Kind | None:
    """None where the name says nothing, so that the content decides."""
    extension = PurePath(filename or "").suffix.lower()
    if extension in _WITHOUT_READER:
        raise UnsupportedType(f"{extension} files cannot be read yet: send {SUPPORTED}")
    return _BY_EXTENSION.get(extension)


def _kind_by_content(head: bytes) -> Kind:
    if b"%PDF-" in head[:SNIFFED_BYTES]:
        return "pdf"
    if _HTML.match(head):
        return "html"
    if head.startswith(b"PK\x03\x04"):
        raise UnsupportedType(f"archives and office documents cannot be read yet: send {SUPPORTED}")
    return "text"
