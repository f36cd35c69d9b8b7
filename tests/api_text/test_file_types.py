"""Which kind of document a file is taken for."""

from typing import get_args

import pytest

from api.services.file_types import EXTENSIONS, MEDIA_TYPES, FileType, Kind, UnsupportedType, detect_type

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("media_type", "filename", "head", "expected"),
    [
        ("text/markdown", "a.pdf", b"x", "markdown"),
        ("markdown", None, b"", "markdown"),
        ("docx", None, b"", "docx"),
        ("Text/HTML; charset=utf-8", None, b"", "html"),
        ("application/xhtml+xml", None, b"", "html"),
        ("text/x-python", None, b"", "text"),
        ("application/json", None, b"", "text"),
        (None, "README.MD", b"# x", "markdown"),
        (None, "a/b.htm", b"", "html"),
        (None, "table.TSV", b"", "tsv"),
        (None, "two\nlines.eml", b"", "eml"),
        ("application/octet-stream", "a.pdf", b"", "pdf"),
        ("", "notes", b"junk %PDF-1.4", "pdf"),
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


@pytest.mark.parametrize(
    ("media_type", "filename", "head", "expected"),
    [
        ("text/plain", "a.txt", b"%PDF-1.4", "pdf"),
        ("application/msword", "a.doc", b"{\\rtf1", "rtf"),
        (None, "a.doc", b"PK\x03\x04", "zip"),
        (None, "a.docx", OLE, "ole"),
        (None, "a.xls", b"<html><table>", "html"),
        (None, "a.pdf", b"<!doctype html>", "html"),
    ],
)
def test_what_the_first_bytes_say_beyond_doubt_comes_before_a_wrong_name(
    media_type: str | None, filename: str, head: bytes, expected: str
) -> None:
    assert detect_type(head, media_type, filename).kind == expected


@pytest.mark.parametrize("head", [b"<!doctype html>", b"PK is short for public key", b"pdf"])
def test_text_that_only_looks_like_another_format_stays_text(head: bytes) -> None:
    assert detect_type(head, None, "a.txt").kind == "text"


def test_the_charset_of_the_media_type_is_kept() -> None:
    assert detect_type(b"", 'text/plain; charset="koi8-r"', None) == FileType("text", "koi8-r")


@pytest.mark.parametrize(
    ("media_type", "filename", "head", "named"),
    [
        ("application/msword", None, b"", "files of type application/msword"),
        ("image/png", "a.txt", b"", "files of type image/png"),
        (None, "a.PPT", b"", ".ppt files"),
        (None, "a.zip", b"", ".zip files"),
    ],
)
def test_a_type_without_a_reader_is_refused_by_name(
    media_type: str | None, filename: str | None, head: bytes, named: str
) -> None:
    with pytest.raises(UnsupportedType, match=f"^{named} cannot be read: send plain text"):
        detect_type(head, media_type, filename)


def test_every_kind_has_a_media_type_and_an_extension_or_more() -> None:
    assert set(MEDIA_TYPES) == set(get_args(Kind))
    assert all(detect_type(b"", media_type, None).kind == kind for kind, media_type in MEDIA_TYPES.items())
    assert all(f".{kind}" in EXTENSIONS for kind in set(MEDIA_TYPES) - {"text", "markdown"})
