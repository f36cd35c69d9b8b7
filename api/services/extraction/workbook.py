"""Spreadsheets (.xlsx, .xls, .xlsb, .ods) as Markdown tables, a sheet a page; formulas as their last results.

calamine reads the cells; empty rows, and empty columns at a row's end, are left out.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from io import BytesIO

import python_calamine

from api.services.extraction import UnreadableFile
from api.services.extraction.extracted import Extracted, join_pages, refuse_beyond
from api.services.extraction.table import table_row

_MOST_CELLS = 20_000_000
"""Of the rectangle around a sheet's cells, which is held in memory whole."""

Cell = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta


def extract_workbook(data: bytes, *, title: str | None, max_characters: int) -> Extracted:
    """The sheets of a workbook, empty ones too, in their order.

    Raises:
        UnreadableFile: encrypted, damaged, without text, or too long.
    """
    with _failures_told():
        workbook = python_calamine.load_workbook(BytesIO(data))
        sheets = [_sheet(workbook, name, max_characters) for name in workbook.sheet_names]
    if not any(sheets):
        raise UnreadableFile("no_text", "holds no text: all its cells are empty")
    text, starts = join_pages(sheets, max_characters)
    return Extracted(text, title, starts)


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except python_calamine.PasswordError as error:
        raise UnreadableFile("encrypted", "is encrypted: remove its password") from error
    except (python_calamine.CalamineError, OSError, ValueError, OverflowError) as error:
        raise UnreadableFile("broken", f"is damaged or not a spreadsheet ({error})") from error
    except BaseException as error:
        # Rust's panics come as an exception that has no importable name and is no Exception.
        if type(error).__name__ == "PanicException":
            raise UnreadableFile("broken", "is damaged: its cells cannot be read") from error
        raise


def _sheet(workbook: python_calamine.CalamineWorkbook, name: str, max_characters: int) -> str:
    """The sheet under its name; nothing if it has no cells, or is a chart."""
    try:
        sheet = workbook.get_sheet_by_name(name)
    except python_calamine.WorksheetNotFound:
        return ""
    if sheet.height * sheet.width > _MOST_CELLS:
        raise UnreadableFile(
            "too_large", f"has a sheet of {sheet.height:,} x {sheet.width:,} cells: split it"
        )
    rows = "\n".join(_rows(sheet, max_characters))
    return f"## {name}\n\n{rows}" if rows else ""


def _rows(sheet: python_calamine.CalamineSheet, max_characters: int) -> Iterator[str]:
    characters = 0
    columns = 0
    for row in sheet.iter_rows():
        cells = [_shown(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            continue
        lines = table_row(cells, is_first=not columns)
        columns = columns or len(cells)
        characters += len(lines)
        refuse_beyond(characters, max_characters)
        yield lines


def _shown(cell: Cell) -> str:
    """As a person would write it; midnight of a day is the day."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, dt.datetime):
        return str(cell.date() if cell.time() == dt.time() else cell)
    return str(cell)
