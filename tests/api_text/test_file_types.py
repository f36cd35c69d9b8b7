"""Which kind of document a file is taken for."""

import pytest

from api.services.file_types import FileType, UnsupportedType, detect_type


@pytest.mark.parametrize(
    ("media_type", "filename", "head", "expected"),
    [
        ("text/markdown", "a.pdf", b"%PDF-1.4", "markdown"),
        ("markdown", None, b"", "markdown"),
        ("Text/HTML; charset=utf-8", None, b"", "html"),
        ("application/xhtml+xml", None, b"", "html"),
        ("text/x-python", None, b"", "text"),
        ("application/json", None, b"", "text"),
        (None, "README.MD", b"%PDF-1.4", "markdown"),
        (None, "a/b.htm", b"", "html"),
        ("application/octet-stream", "a.pdf", b"", "pdf"),
        ("", "notes", b"%PDF-1.4", "pdf"),
        (None, "notes.unknown", b"\n<!DOCTYPE html><p>", "html"),
        (None, None, b"<?xml version='1.0'?><!-- x --> <html>", "html"),
        (None, None, b"<htmlish>", "text"),
        (None, "main.ts", b"const x", "text"),
        (None, None, b"", "text"),
    ],
)
def test_the_media_type_decides_then_the_name_then_the_content(
    media_type: str | None, filename: str | None, head: bytes, expected: str
) -> None:
    assert detect_type(head, media_type, filename).kind == expected


def test_the_charset_of_the_media_type_is_kept() -> None:
    assert detect_type(b"", 'text/plain; charset="koi8-r"', None) == FileType("text", "koi8-r")


@pytest.mark.parametrize(
    ("media_type", "filename", "head", "named"),
    [
        ("application/msword", None, b"", "files of type application/msword"),
        ("image/png", "a.txt", b"", "files of type image/png"),
        (None, "a.XLSX", b"", ".xlsx files"),
        (None, None, b"PK\x03\x04", "archives and office documents"),
    ],
)
def test_a_type_without_a_reader_is_refused_by_name(
    media_type: str | None, filename: str | None, head: bytes, named: str
) -> None:
    with pytest.raises(UnsupportedType, match=f"^{named} cannot be read yet: send plain text"):
        detect_type(head, media_type, filename)
