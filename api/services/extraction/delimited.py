"""Comma- and tab-separated values as a Markdown table; the first row names the columns."""

import csv
from collections.abc import Iterator

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted, refuse_beyond, refuse_blank
from api.services.extraction.guess import decode_any
from api.services.extraction.table import table_row

_DELIMITERS = ",;\t|"
_SAMPLE_CHARACTERS = 16_384
_LONGEST_FIELD = 10_000_000


def extract_delimited(data: bytes, charset: str | None, *, max_characters: int) -> Extracted:
    """The rows; which character separates them is told from the first lines.

    Raises:
        UnreadableFile: without text, too long, or with a field that never ends.
        UndecodableText: in no encoding that is known.
    """
    text = refuse_blank(decode_any(data, charset))
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        return Extracted(refuse_blank("\n".join(_rows(text, max_characters))), None)
    except csv.Error as error:
        raise UnreadableFile("broken", f"is damaged: its rows cannot be told apart ({error})") from error


def _rows(text: str, max_characters: int) -> Iterator[str]:
    characters = 0
    is_first = True
    for cells in csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text)):
        if not any(cell.strip() for cell in cells):
            continue
        row = table_row(cells, is_first=is_first)
        is_first = False
        characters += len(row)
        refuse_beyond(characters, max_characters)
        yield row


def _delimiter(text: str) -> str:
    """The one that the first line has most of: it names the columns, and names hold fewer than values."""
    first = next(line for line in text[:_SAMPLE_CHARACTERS].splitlines() if line.strip())
    return max(_DELIMITERS, key=first.count)
