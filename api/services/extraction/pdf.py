"""Text of a PDF, page by page, in the order of its content; no layout analysis and no OCR.

Pages are joined by a blank line. Words that were hyphenated at a line's end are whole again.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pypdfium2

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted, join_pages

# pdfium marks a hyphen that only a line break put there, and takes the break out.
_NO_TEXT = re.compile("[\x00\x02\ufffe\ufffd]")
_LINE_END = re.compile(r"[ \t]*\r?\n")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"})
_NO_TITLES = frozenset({"untitled", "(anonymous)", "(unspecified)"})


def extract_pdf(source: bytes | Path, password: str | None, *, max_characters: int) -> Extracted:
    """The text of every page.

    Raises:
        UnreadableFile: encrypted, damaged, without a text layer, or too long.
    """
    document = _open(source, password)
    try:
        text, starts = join_pages(_page_texts(document), max_characters)
        if not text:
            raise UnreadableFile("no_text", "has no text layer, only images: run OCR over it first")
        return Extracted(text, _title(document), starts)
    finally:
        document.close()


def _open(source: bytes | Path, password: str | None) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(source, password=password)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            if password:
                raise UnreadableFile("wrong_password", "the password does not open it") from error
            raise UnreadableFile("encrypted", "is encrypted: give its password") from error
        raise UnreadableFile("broken", "is damaged or not a PDF file") from error


def _page_texts(document: pypdfium2.PdfDocument) -> Iterator[str]:
    for number in range(len(document)):
        try:
            page = document[number]
        except pypdfium2.PdfiumError as error:
            raise UnreadableFile("broken", f"is damaged: its page {number + 1} cannot be read") from error
        try:
            yield _clean(page.get_textpage().get_text_bounded())
        finally:
            page.close()


def _clean(text: str) -> str:
    return _LINE_END.sub("\n", _NO_TEXT.sub("", text)).translate(_LIGATURES).strip()


def _title(document: pypdfium2.PdfDocument) -> str | None:
    title = " ".join(document.get_metadata_value("Title").split())
    return None if not title or title.lower() in _NO_TITLES else title
