"""Text of a PDF, page by page, in the order of its content unless that goes across columns; no OCR.

Pages are joined by a blank line. Words that were hyphenated at a line's end are whole again.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pypdfium2

from api.services.extraction import UnreadableFile
from api.services.extraction.columns import text_in_columns
from api.services.extraction.extracted import Extracted, join_pages

# pdfium marks a hyphen that only a line break put there, and takes the break out.
_NO_TEXT = re.compile("[\x00\x02\ufffe\ufffd]")
_LINE_END = re.compile(r"[ \t]*\r?\n")
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl"})
_QUARTER = math.pi / 2
_ON_ITS_SIDE = frozenset({90, 270})
_SAMPLED_CHARACTERS = 500
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
            yield _clean(_upright_text(page))
        finally:
            page.close()


def _upright_text(page: pypdfium2.PdfPage) -> str:
    """The text inside the page's borders, its lines in the order of a reader who turns the page upright.

    pdfium gives the lines of a page that is shown on its side from the last to the first, and glues some of
    them together where text that stands on its side is cut at the borders, so that is not cut.
    """
    turned = _turned_by(page.get_textpage())
    if page.get_rotation() != turned:
        page.set_rotation(turned)
    textpage = page.get_textpage()
    if turned in _ON_ITS_SIDE:
        return str(textpage.get_text_range())
    return text_in_columns(textpage) or str(textpage.get_text_bounded())


def _turned_by(textpage: pypdfium2.PdfTextPage) -> int:
    """By how much most of the text is turned on the page itself: 0, 90, 180 or 270 degrees."""
    sampled = range(min(textpage.count_chars(), _SAMPLED_CHARACTERS))
    angles = (pypdfium2.raw.FPDFText_GetCharAngle(textpage, number) for number in sampled)
    quarters = Counter(round(angle / _QUARTER) % 4 for angle in angles if angle >= 0)
    return 90 * quarters.most_common(1)[0][0] if quarters else 0


def _clean(text: str) -> str:
    return _LINE_END.sub("\n", _NO_TEXT.sub("", text)).translate(_LIGATURES).strip()


def _title(document: pypdfium2.PdfDocument) -> str | None:
    title = " ".join(document.get_metadata_value("Title").split())
    return None if not title or title.lower() in _NO_TITLES else title
